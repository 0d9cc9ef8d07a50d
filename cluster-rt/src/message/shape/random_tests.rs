//! Random graphs of types: equal ones have equal fingerprints, and any single change makes another.
//!
//! That a change of a type in the source is a change of its node is tested where nodes are made, in
//! `cluster-macros`.

use std::cell::RefCell;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{ShapeNode, walk};

/// The most types in a graph.
const TYPES_MAX: usize = 6;

/// What a node says; `nested` counts in the graph.
#[derive(Clone, Debug)]
struct Type {
    name: &'static str,
    local: u64,
    nested: Vec<usize>,
}

thread_local! {
    /// A node is a function without arguments, so this is where it finds what to say.
    static GRAPH: RefCell<Vec<Type>> = const { RefCell::new(Vec::new()) };
}

const NODES: [fn() -> ShapeNode; TYPES_MAX] =
    [node::<0>, node::<1>, node::<2>, node::<3>, node::<4>, node::<5>];

fn node<const N: usize>() -> ShapeNode {
    let Type { name, local, nested } = GRAPH.with_borrow(|graph| graph[N].clone());
    // Nodes are static; a test may leak what they nest.
    let nested = nested.into_iter().map(|inner| NODES[inner]).collect::<Vec<_>>().leak();
    ShapeNode::of::<[(); N]>(name, local, nested)
}

/// Of the first type.
fn fingerprint(graph: &[Type]) -> u64 {
    GRAPH.set(graph.to_vec());
    walk(NODES[0])
}

/// Each type has a name of its own, so that no two are alike.
fn graphs() -> impl Strategy<Value = Vec<Type>> {
    let nested = vec(any::<Index>(), 0..5);
    vec((any::<u64>(), nested), 1..=TYPES_MAX).prop_map(|types| {
        let count = types.len();
        let names = ["News", "Article", "Tree", "Note", "Cart", "Vec"];
        let types = types.into_iter().zip(names);
        types
            .map(|((local, nested), name)| {
                let nested = nested.into_iter().map(|inner| inner.index(count)).collect();
                Type { name, local, nested }
            })
            .collect()
    })
}

/// The types that are met on the way from the first one.
fn reachable(graph: &[Type]) -> Vec<usize> {
    let mut met = vec![0];
    let mut at = 0;
    while at < met.len() {
        for &inner in &graph[met[at]].nested {
            if !met.contains(&inner) {
                met.push(inner);
            }
        }
        at += 1;
    }
    met
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Name,
    Local,
    Added(Index, Index),
    Removed(Index),
    Replaced(Index, Index),
    Swapped(Index, Index),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Name),
        Just(Change::Local),
        any::<(Index, Index)>().prop_map(|(at, other)| Change::Added(at, other)),
        any::<Index>().prop_map(Change::Removed),
        any::<(Index, Index)>().prop_map(|(at, other)| Change::Replaced(at, other)),
        any::<(Index, Index)>().prop_map(|(a, b)| Change::Swapped(a, b)),
    ]
}

/// Changes a type; false if there is nothing that this would change.
fn make(change: Change, types: usize, changed: &mut Type) -> bool {
    let count = changed.nested.len();
    match change {
        Change::Name => changed.name = "Renamed",
        Change::Local => changed.local ^= 1,
        Change::Added(at, other) => {
            changed.nested.insert(at.index(count + 1), other.index(types));
        }
        _ if count == 0 => return false,
        Change::Removed(at) => {
            changed.nested.remove(at.index(count));
        }
        Change::Replaced(at, other) => {
            let (at, other) = (at.index(count), other.index(types));
            return std::mem::replace(&mut changed.nested[at], other) != other;
        }
        Change::Swapped(a, b) => {
            let (a, b) = (a.index(count), b.index(count));
            changed.nested.swap(a, b);
            return changed.nested[a] != changed.nested[b];
        }
    }
    true
}

proptest! {
    #[test]
    fn any_single_change_is_another_fingerprint(
        graph in graphs(),
        at in any::<Index>(),
        change in changes(),
    ) {
        let before = fingerprint(&graph);
        let met = reachable(&graph);
        let mut changed = graph.clone();
        prop_assume!(make(change, graph.len(), &mut changed[met[at.index(met.len())]]));
        prop_assert_ne!(fingerprint(&changed), before);
    }

    /// As if another build had other types besides, and the compiler had numbered them otherwise.
    #[test]
    fn the_same_graph_elsewhere_has_the_same_fingerprint(
        graph in graphs(),
        order in Just((1..TYPES_MAX).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let new = |old: usize| if old == 0 { 0 } else { order[old - 1] };
        let nothing = Type { name: "Another", local: 0, nested: Vec::new() };
        let mut moved = vec![nothing; TYPES_MAX];
        for (old, of_type) in graph.iter().enumerate() {
            let nested = of_type.nested.iter().map(|&inner| new(inner)).collect();
            moved[new(old)] = Type { nested, ..of_type.clone() };
        }
        prop_assert_eq!(fingerprint(&moved), fingerprint(&graph));
    }
}
