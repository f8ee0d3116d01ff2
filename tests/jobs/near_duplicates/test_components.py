"""The choice of kept rows: no false removal, no pair left, one cluster a component."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.near_duplicates.components import Clusters, choose, sizes

Edges = list[tuple[int, int, float]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, Edges]:
    nodes = draw(st.integers(1, 25))
    end = st.integers(0, nodes - 1)
    pairs = draw(
        st.lists(
            st.tuples(end, end).filter(lambda p: p[0] != p[1]),
            max_size=50,
            unique_by=lambda p: (min(p), max(p)),
        )
    )
    return nodes, [(a, b, draw(st.sampled_from([0.8, 0.85, 0.9, 1.0]))) for a, b in pairs]


def run(nodes: int, edges: Edges) -> Clusters:
    left, right = (np.array([edge[side] for edge in edges], np.int64) for side in (0, 1))
    return choose(nodes, left, right, np.array([edge[2] for edge in edges], np.float64))


def reachable(start: int, edges: Edges) -> set[int]:
    seen, front = {start}, [start]
    while front:
        here = front.pop()
        for a, b, _ in edges:
            for near, far in ((a, b), (b, a)):
                if near == here and far not in seen:
                    seen.add(far)
                    front.append(far)
    return seen


@settings(deadline=None)
@given(graphs())
def test_every_removed_node_has_a_kept_and_better_anchor_within_the_threshold(
    graph: tuple[int, Edges],
) -> None:
    nodes, edges = graph
    chosen = run(nodes, edges)
    similarity = {(min(a, b), max(a, b)): j for a, b, j in edges}
    for node in np.flatnonzero(~chosen.kept).tolist():
        anchor = int(chosen.anchor[node])
        assert anchor < node
        assert chosen.kept[anchor]
        assert chosen.jaccard[node] == similarity[anchor, node]
        assert chosen.jaccard[node] == max(
            j for (a, b), j in similarity.items() if b == node and chosen.kept[a]
        )


@settings(deadline=None)
@given(graphs())
def test_no_verified_pair_is_left_with_both_kept(graph: tuple[int, Edges]) -> None:
    nodes, edges = graph
    kept = run(nodes, edges).kept
    assert not any(kept[a] and kept[b] for a, b, _ in edges)


@settings(deadline=None)
@given(graphs())
def test_a_cluster_is_a_connected_component_named_by_its_best_node(
    graph: tuple[int, Edges],
) -> None:
    nodes, edges = graph
    chosen = run(nodes, edges)
    copies = np.arange(1, nodes + 1)
    totals = sizes(chosen, copies)
    for node in range(nodes):
        component = reachable(node, edges)
        assert chosen.first[node] == min(component)
        assert totals[node] == sum(int(copies[member]) for member in component)
    assert chosen.kept[chosen.first].all()


@settings(deadline=None)
@given(graphs(), st.randoms())
def test_the_choice_does_not_depend_on_the_order_of_edges_or_ends(
    graph: tuple[int, Edges], random: object
) -> None:
    nodes, edges = graph
    other = [(b, a, j) for a, b, j in edges]
    random.shuffle(other)  # type: ignore[attr-defined]
    one, two = run(nodes, edges), run(nodes, other)
    assert (one.first.tolist(), one.anchor.tolist(), one.jaccard.tolist()) == (
        two.first.tolist(),
        two.anchor.tolist(),
        two.jaccard.tolist(),
    )


def test_the_far_end_of_a_chain_stays() -> None:
    chosen = run(3, [(0, 1, 0.9), (1, 2, 0.9)])
    assert chosen.kept.tolist() == [True, False, True]
    assert chosen.first.tolist() == [0, 0, 0]


def test_no_edges_means_that_all_stay() -> None:
    assert run(2, []).kept.all()
