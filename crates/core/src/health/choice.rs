//! The choice between equal endpoints: the power of two choices (Mitzenmacher 2001). It needs no order over all of them
//! and no shared counter, and does not herd as "the least loaded" does when many choose at once.

use crate::units::Rng;

/// Draws two distinct `items` and returns the index of the one with the smaller load; of one item, that; of none,
/// `None`. Equal loads are decided by the draw. A load that is not a number loses.
pub fn pick_two<T>(items: &[T], mut load: impl FnMut(&T) -> f32, rng: &mut Rng) -> Option<usize> {
    if items.len() < 2 {
        return (!items.is_empty()).then_some(0);
    }
    let first = rng.below(items.len());
    let second = (first + 1 + rng.below(items.len() - 1)) % items.len();
    let of = |l: f32| if l.is_nan() { f32::INFINITY } else { l };
    let (a, b) = (of(load(&items[first])), of(load(&items[second])));
    Some(if b < a { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(loads: &[f32]) -> Vec<usize> {
        let mut rng = Rng::new(3);
        let mut seen = vec![0; loads.len()];
        for _ in 0..6000 {
            seen[pick_two(loads, |l| *l, &mut rng).expect("not empty")] += 1;
        }
        seen
    }

    #[test]
    fn degenerate_cases() {
        assert_eq!(pick_two(&[] as &[f32], |l| *l, &mut Rng::new(0)), None);
        assert_eq!(shares(&[f32::NAN]), [6000]);
        assert_eq!(shares(&[f32::NAN, 1.0]), [0, 6000]);
        assert_eq!(shares(&[2.0, 1.0]), [0, 6000]);
    }

    #[test]
    fn two_of_three_are_compared() {
        // The worst is never chosen, the best wins each pair that it is in: two thirds.
        let seen = shares(&[1.0, 2.0, 3.0]);
        assert!(seen[2] == 0 && (3850..4150).contains(&seen[0]), "{seen:?}");
        let even = shares(&[1.0, 1.0, 1.0]);
        assert!(even.iter().all(|n| (1850..2150).contains(n)), "{even:?}");
    }
}
