"""Token sequences for training and validation, and their order.

split        one split of a `tokens` artifact, read a row group at a time
permutation  a keyed permutation that is computed, not stored
order        the endless order of training sequences: which sequence is at which position
loader       the training's global batches as tensors
validation   the validation split as masked windows

`split`, `permutation` and `order` do without torch: other programs ask them what a training has
seen.
"""
