"""Boxes in float64, by loops: what heads that find objects are compared with."""

import numpy as np


def area(a):
    return max(a[2] - a[0], 0.0) * max(a[3] - a[1], 0.0)


def iou(a, b):
    common = [*np.maximum(a[:2], b[:2]), *np.minimum(a[2:], b[2:])]
    union = area(a) + area(b) - area(common)
    return area(common) / union if union > 0 else 0.0


def encoded(box, own, weights=(1, 1, 1, 1)):
    (t, l, b, r), (t0, l0, b0, r0) = np.float64(box), np.float64(own)
    if min(b - t, r - l, b0 - t0, r0 - l0) <= 0:
        return np.zeros(4)
    x, y, x0, y0 = (l + r) / 2, (t + b) / 2, (l0 + r0) / 2, (t0 + b0) / 2
    said = [(x - x0) / (r0 - l0), (y - y0) / (b0 - t0)]
    said += [np.log((r - l) / (r0 - l0)), np.log((b - t) / (b0 - t0))]
    return np.array(said) * weights


def decoded(deltas, own, weights=(1, 1, 1, 1)):
    dx, dy, dw, dh = np.float64(deltas) / weights
    t, l, b, r = np.float64(own)
    x, y = (l + r) / 2 + dx * (r - l), (t + b) / 2 + dy * (b - t)
    w, h = (n * np.exp(min(d, np.log(1000 / 16))) for n, d in ((r - l, dw), (b - t, dh)))
    return np.array([y - h / 2, x - w / 2, y + h / 2, x + w / 2])


def clipped(box, extent):
    (t, l, b, r), (h, w) = box, extent
    return np.array([np.clip(t, 0, h), np.clip(l, 0, w), np.clip(b, 0, h), np.clip(r, 0, w)])


def suppressed(boxes, scores, threshold, kinds=None):
    """Numbers of the boxes that stay, the best first: one by one."""
    stay = []
    for i in np.argsort(-np.asarray(scores), kind="stable"):
        others = [j for j in stay if kinds is None or kinds[j] == kinds[i]]
        if all(iou(boxes[i], boxes[j]) <= threshold for j in others):
            stay.append(i)
    return stay


def labelled(boxes, objects, low, high, closest):
    """(1, 0 or -1, the object of the highest overlap) of each box."""
    overlaps = np.array([[iou(b, o) for o in objects] for b in boxes]).reshape(len(boxes), -1)
    if not len(objects):
        return [(0, 0)] * len(boxes)
    labels = []
    for row in overlaps:
        best = row.max()
        label = 1 if best >= high else 0 if best < low else -1
        if closest and ((row > 0) & (row >= overlaps.max(0) - 1e-7)).any():
            label = 1
        labels.append((label, int(row.argmax())))
    return labels
