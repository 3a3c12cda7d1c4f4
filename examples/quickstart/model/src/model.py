"""Logistic regression on standardised features, in the standard library only."""
import json
import math


def sigmoid(z):
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


class Model:
    def __init__(self, features, mean, scale, weights, bias):
        self.features, self.mean, self.scale = features, mean, scale
        self.weights, self.bias = weights, bias

    def predict(self, row):
        """The probability that a tumour is malignant; `row` maps feature names to numbers."""
        z = self.bias
        for name, mean, scale, weight in zip(self.features, self.mean, self.scale, self.weights):
            z += weight * (float(row[name]) - mean) / scale
        return sigmoid(z)

    def save(self, path):
        with open(path, "w") as f:
            json.dump(self.__dict__, f, indent=1, sort_keys=True)
            f.write("\n")

    @classmethod
    def load(cls, path):
        with open(path) as f:
            return cls(**json.load(f))


def fit(rows, labels, features, epochs, learning_rate, l2):
    """Full-batch gradient descent: the same rows and parameters give the same weights to the last bit."""
    n = len(rows)
    columns = [[float(row[name]) for row in rows] for name in features]
    mean = [sum(column) / n for column in columns]
    scale = [math.sqrt(sum((x - m) ** 2 for x in column) / n) or 1.0 for column, m in zip(columns, mean)]
    points = list(zip(*[[(x - m) / s for x in column] for column, m, s in zip(columns, mean, scale)]))
    weights, bias = [0.0] * len(features), 0.0
    for _ in range(epochs):
        gradient, gradient_bias = [l2 * w for w in weights], 0.0
        for point, label in zip(points, labels):
            error = (sigmoid(bias + sum(map(float.__mul__, weights, point))) - label) / n
            gradient_bias += error
            for i, x in enumerate(point):
                gradient[i] += error * x
        weights = [w - learning_rate * g for w, g in zip(weights, gradient)]
        bias -= learning_rate * gradient_bias
    return Model(features, mean, scale, weights, bias)
