/// Where a connection stands for a toxic, from 0 to below 1: it has the toxic where that is below the toxicity.
///
/// By seed, connection and the toxic's name alone: other toxics change nothing of it, and a toxicity that is raised keeps
/// those that had the toxic.
pub fn draw(seed: u64, connection: u64, name: &str) -> f64 {
    fastrand::Rng::with_seed(self::seed(seed, connection, name)).f64()
}

/// The seed of all that is drawn for a toxic on a connection.
pub fn seed(seed: u64, connection: u64, name: &str) -> u64 {
    // FNV-1a, so that each name has draws of its own.
    let name = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let dice = [name, connection]
        .iter()
        .fold(fastrand::Rng::with_seed(seed), |mut dice, next| fastrand::Rng::with_seed(dice.u64(..) ^ next));
    { dice }.u64(..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_connections_is_that_share_and_stays_when_it_grows() {
        let below = |name, share: f64| (0..10_000).filter(|&id| draw(7, id, name) < share).collect::<Vec<_>>();
        for share in [0.0, 0.1, 0.5, 0.9, 1.0] {
            let found = below("latency", share).len() as f64 / 10_000.0;
            assert!((found - share).abs() < 0.02, "{found} of {share}");
        }
        let (few, many) = (below("latency", 0.3), below("latency", 0.6));
        assert!(few.iter().all(|id| many.contains(id)));
    }

    #[test]
    fn seeds_names_and_connections_draw_each_for_themselves() {
        let both = |one: fn(u64) -> f64, other: fn(u64) -> f64| {
            (0..10_000).filter(|&n| one(n) < 0.5 && other(n) < 0.5).count()
        };
        for found in [
            both(|n| draw(1, n, "a"), |n| draw(1, n, "b")),
            both(|n| draw(1, n, "a"), |n| draw(2, n, "a")),
            both(|n| draw(n, 1, "a"), |n| draw(n, 2, "a")),
            both(|n| draw(1, n, "a"), |n| draw(1, n + 1, "a")),
        ] {
            assert!((2_300..2_700).contains(&found), "{found} of 10,000 have both; a quarter was expected");
        }
    }
}
