//! Rendezvous hashing: which of several places a key belongs to.
//!
//! Each place has a weight for each key, drawn by hashing both; the key belongs to where it weighs
//! most. So a place that comes or goes moves only the keys that are or were its own, whatever the order
//! and number of the others. The hash is SipHash-1-3 under a fixed key: the same in every process,
//! generation and release.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

/// What a key hashes to, once for all places.
pub(crate) fn hash_of(key: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = SipHasher13::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// How much the key with this hash weighs at `place`.
pub(crate) fn weight(key: u64, place: usize) -> u64 {
    // The finalizer of SplitMix64 (Steele, Lea, Flood 2014) over the key and a sequence of well-mixed
    // numbers: every bit of both reaches every bit of the weight.
    let mut x = key ^ (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The place among those that a key with this hash belongs to.
pub(crate) fn place(key: u64, places: impl Iterator<Item = usize>) -> Option<usize> {
    places.max_by_key(|&place| weight(key, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u32 = 40_000;

    fn owners(places: &[usize]) -> Vec<usize> {
        let owner = |key| place(hash_of(&key), places.iter().copied()).expect("a place");
        (0..KEYS).map(owner).collect()
    }

    #[test]
    fn keys_are_spread_evenly() {
        for count in [2, 3, 4, 7] {
            let owners = owners(&(0..count).collect::<Vec<_>>());
            let fair = f64::from(KEYS) / count as f64;
            for place in 0..count {
                let own = owners.iter().filter(|&&owner| owner == place).count() as f64;
                assert!((own / fair - 1.0).abs() < 0.05, "{own} of {fair} at {place} of {count}");
            }
        }
    }

    #[test]
    fn only_what_must_move_moves() {
        let (four, five) = (owners(&[0, 1, 2, 3]), owners(&[0, 1, 2, 3, 4]));
        let moved = four.iter().zip(&five).filter(|(before, after)| before != after);
        let moved: Vec<_> = moved.map(|(_, after)| *after).collect();
        assert!(moved.iter().all(|&after| after == 4), "moves go to the new place alone");
        let share = moved.len() as f64 / f64::from(KEYS);
        assert!((share - 0.2).abs() < 0.01, "{share}");
        // And what leaves a place that goes is what was its own.
        let without = owners(&[0, 2, 3]);
        assert!(four.iter().zip(&without).all(|(before, after)| before == after || *before == 1));
    }

    #[test]
    fn the_order_of_the_places_does_not_matter() {
        assert_eq!(owners(&[0, 1, 2, 3]), owners(&[3, 1, 0, 2]));
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        // A change would move every key of every running service at its next deployment.
        assert_eq!(hash_of(&7_u64), 7_364_705_619_221_056_123);
        assert_eq!(weight(7, 3), 7_862_637_804_313_477_842);
    }
}
