"""Few handwritten digits, and what turning, scaling and shifting them brings: 500 of scikit-learn's images to train on.

thalweg preview examples/augmentation.py                                  # look at it first
thalweg compare examples/augmentation.py --set augmentation=null,auto     # is it worth it?
thalweg train examples/augmentation.py
"""

from digits import digits, images, small_cnn

import thalweg as tw

experiment = tw.Experiment(
    small_cnn,
    train=(images[:500], digits.target[:500]),
    validation=(images[500:1100], digits.target[500:1100]),
    test=(images[1100:], digits.target[1100:]),
    loss="cross_entropy",
)
plan = tw.Plan(augmentation=tw.augmentations.Affine(rotate=10, scale=(0.9, 1.1), translate=(0.1, 0.1)), epochs=30)
