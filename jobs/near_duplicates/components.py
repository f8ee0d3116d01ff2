"""From verified pairs to the rows that stay: connected components and, inside each, anchors.

Nodes are numbered by quality, the best first; edges are pairs verified to be at or above the
threshold. Members of a component are visited in that order: one with an edge to an anchor (a node
already kept) is removed, any other becomes an anchor itself. The kept nodes are thus a maximal
independent set of the verified pairs, which promises both that every removed node has a kept one
within the threshold (a chain a ~ b ~ c does not remove c for the sake of a) and that no verified
pair is left with both kept.

Runs on the driver: memory is 24 bytes an edge and 40 bytes a node that has an edge. Pure numpy and
numba, no Spark.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Clusters:
    """The choice for each node, arrays of shape (nodes,).

    first   the best node of its component, always an anchor: the cluster's name
    anchor  the most similar kept node that removes it; itself for a kept node
    jaccard similarity to the anchor; 1 for a kept node
    """

    first: Integers
    anchor: Integers
    jaccard: Floats

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(nodes,) whether the node stays."""
        kept: NDArray[np.bool_] = self.anchor == np.arange(len(self.anchor))
        return kept


@njit(cache=True)
def _first_of_component(nodes: int, left: Integers, right: Integers) -> Integers:
    """(nodes,) the least node of each node's component: union-find with path halving, where the
    smaller root always becomes the parent."""
    parent = np.arange(nodes)
    for edge in range(len(left)):
        a, b = left[edge], right[edge]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        parent[max(a, b)] = min(a, b)
    for node in range(nodes):  # a parent is smaller than its child, so it is final already
        parent[node] = parent[parent[node]]
    return parent


@njit(cache=True)
def _anchors(nodes: int, better: Integers, worse: Integers) -> Integers:
    """(nodes,) the edge that removes each node, -1 for a kept one. Edges are sorted by their worse
    node, then the most similar first: when a node's turn comes, its better ones are decided."""
    remover = np.full(nodes, -1)
    for edge in range(len(better)):
        if remover[better[edge]] < 0 and remover[worse[edge]] < 0:
            remover[worse[edge]] = edge
    return remover


def choose(nodes: int, left: Integers, right: Integers, jaccard: Floats) -> Clusters:
    """Anchors and components of `nodes` nodes in order of quality, joined by edges
    (left[i], right[i]) of similarity jaccard[i], in any order and with their ends in any order."""
    better, worse = np.minimum(left, right), np.maximum(left, right)
    order = np.lexsort((better, -jaccard, worse))
    better, worse, similarity = better[order], worse[order], jaccard[order]
    remover = _anchors(nodes, better, worse)
    removed = remover >= 0
    anchor = np.arange(nodes)
    anchor[removed] = better[remover[removed]]
    values = np.ones(nodes)
    values[removed] = similarity[remover[removed]]
    return Clusters(_first_of_component(nodes, better, worse), anchor, values)


def sizes(clusters: Clusters, copies: Integers) -> Integers:
    """(nodes,) documents in each node's component; a node stands for `copies` equal documents."""
    total = np.zeros(len(copies), np.int64)
    np.add.at(total, clusters.first, copies)
    return total[clusters.first]
