"""Tokens to checkpoints to scores to an exported model: plain PyTorch, no Prefect, no Spark.

Letters in tensor shapes, here and below; [B, T, D] is a tensor of three dimensions:

    B  sequences of a batch (of a micro-batch, inside the model)
    T  tokens of a sequence that are predicted; a sequence on disk has T + 1
    V  vocabulary: token types
    D  width of the residual stream
    F  inner width of the feed-forward layer
    H  heads of queries
    K  heads of keys and values, H / K queries share one
    N  width of a head, D = H N
    C  taps of a causal convolution, in tokens
"""
