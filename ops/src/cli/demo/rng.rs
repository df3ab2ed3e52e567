//! Chance that is the same every time: SplitMix64 (Steele, Lea, Flood 2014), seeded by what it is for.

pub struct Rng(u64);

impl Rng {
    /// A generator of its own for each thing, so that one more contact does not change every order.
    pub fn of(what: &str, number: usize) -> Self {
        let seed = what
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `below` - 1.
    pub fn below(&mut self, below: usize) -> usize {
        (self.next() % below.max(1) as u64) as usize
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_repeats() {
        let draw = || (0..5).map(|_| Rng::of("contact", 7).below(1_000)).collect::<Vec<_>>();
        assert_eq!(draw(), draw());
        assert_ne!(Rng::of("contact", 7).next(), Rng::of("contact", 8).next());
        assert_ne!(Rng::of("contact", 7).next(), Rng::of("order", 7).next());
    }
}
