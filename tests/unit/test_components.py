"""Connected components on the driver against networkx."""

from __future__ import annotations

import networkx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.estimators.components import least_members

node = st.integers(0, 19)


@settings(max_examples=200, deadline=None)
@given(edges=st.lists(st.tuples(node, node), max_size=40))
def test_each_row_is_given_the_least_of_its_component(edges: list[tuple[int, int]]) -> None:
    graph = networkx.Graph()
    graph.add_nodes_from(range(20))
    graph.add_edges_from(edges)
    found = least_members(np.array(edges, np.int64).reshape(-1, 2), 20)
    for group in networkx.connected_components(graph):
        assert set(found[list(group)]) == {min(group)}
