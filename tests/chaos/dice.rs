//! Chance that can be repeated: the seed is printed and may be given.

/// Xorshift with a finisher (splitmix): enough to spread load, no secret.
#[derive(Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// `MILLRACE_KILL_SEED`, or another one each time.
    pub(super) fn of_this_run() -> (Self, u64) {
        let given = std::env::var("MILLRACE_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| bus_schema::ids::random_uuid().as_u64_pair().0);
        (Self(seed), seed)
    }

    /// Others that follow from this one.
    pub(super) fn split(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(super) fn pick<'a, T>(&mut self, some: &'a [T]) -> Option<&'a T> {
        some.get(usize::try_from(self.below(some.len() as u64)).unwrap_or(0))
    }
}
