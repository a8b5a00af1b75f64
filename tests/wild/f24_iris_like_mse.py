# hi all, here is my code for the flower classification (3 classes, 4 measurements)
# my teacher wants the squared error instead of cross entropy
import numpy as np
np.random.seed(100)

means = np.array([[5.0,3.4,1.5,0.2],[5.9,2.8,4.3,1.3],[6.6,3.0,5.5,2.0]])
stds = np.array([[0.35,0.38,0.17,0.1],[0.5,0.3,0.47,0.2],[0.6,0.3,0.55,0.27]])
trainX = []
trainY = []
for c in range(3):
    for k in range(30):
        trainX.append(means[c] + stds[c]*np.random.randn(4))
        oneHot = np.zeros(3)
        oneHot[c] = 1
        trainY.append(oneHot)
trainX = np.array(trainX)
trainX = (trainX - np.mean(trainX,axis=0))/np.std(trainX,axis=0)
trainY = np.array(trainY)

inputSize = 4
hiddenSize = 5
outputSize = 3
wIH = np.random.randn(inputSize,hiddenSize)
bH = np.zeros(hiddenSize)
wHO = np.random.randn(hiddenSize,outputSize)
bO = np.zeros(outputSize)

def Sigmoid(x):
    return 1/(1+np.exp(-x))

def SoftMax(x):
    ex = np.exp(x-np.max(x,axis=1,keepdims=True))
    return ex/np.sum(ex,axis=1,keepdims=True)

def FeedForward(x):
    hidden = Sigmoid(x@wIH+bH)
    output = SoftMax(hidden@wHO+bO)
    return hidden,output

def Cost(x,y):
    hidden,output = FeedForward(x)
    return np.sum((output-y)**2)/len(x)

def BackProp(x,y):
    hidden,output = FeedForward(x)
    outDelta = 2*(output-y)/len(x)
    outDelta = outDelta*output*(1-output)
    hidDelta = outDelta@wHO.T*hidden*(1-hidden)
    return x.T@hidDelta,np.sum(hidDelta,axis=0),hidden.T@outDelta,np.sum(outDelta,axis=0)

learnRate = 1.0
for epoch in range(500):
    d1,d2,d3,d4 = BackProp(trainX,trainY)
    wIH = wIH-learnRate*d1
    bH = bH-learnRate*d2
    wHO = wHO-learnRate*d3
    bO = bO-learnRate*d4
    if epoch%100==0:
        print("epoch",epoch,"cost",Cost(trainX,trainY))

hidden,output = FeedForward(trainX)
print("accuracy",np.mean(np.argmax(output,axis=1)==np.argmax(trainY,axis=1)))
