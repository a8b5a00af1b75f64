"""Many runs of `train` over seeds and settings: grouped by shape, planned by memory, shared out over the devices.

The way of the data: `settings` (a grid becomes groups of equal shape) -> `memory` (how many run at once) -> `program`
(one compiled function a group, by `many_runs`) -> `folder` (what is finished is kept) -> `result`, in `host_loop`.
"""
