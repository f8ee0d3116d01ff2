"""Checkpoints of a training in progress, the final model, and the file format of both.

tensors   a safetensors file, written and read a tensor at a time
final     the final model of a training; all that evaluation, sampling and export need
running   checkpoints of a training in progress
storage   safetensors under torch.distributed.checkpoint (DCP)

`tensors` and `final` know nothing of DCP: who only uses a model does not load it.
"""
