//! A small mutating loop: bit flips, splices, cuts, repeats and words of the target's own language.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// The largest input that is tried.
const MOST: usize = 64 * 1024;
/// No decoder needs this long for an input of that size.
const SLOW: Duration = Duration::from_secs(2);

/// xorshift64*: small, seeded, the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }
}

fn setting(name: &str) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Feeds `target` with mutations of `corpus` until the time is over. `target` says whether it accepted the input;
/// accepted ones join the corpus.
pub(super) fn run(name: &str, corpus: &[&[u8]], words: &[&[u8]], mut target: impl FnMut(&[u8]) -> bool) {
    let seed = setting("MILLRACE_FUZZ_SEED");
    let mut dice =
        Dice(name.bytes().fold(seed.max(1), |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())) | 1);
    let mut corpus: Vec<Vec<u8>> = corpus.iter().map(|input| input.to_vec()).collect();
    corpus.push(Vec::new());
    let end = Instant::now() + Duration::from_secs(setting("MILLRACE_FUZZ_SECONDS"));
    let (mut executions, mut accepted) = (0_u64, 0_u64);
    let known = corpus.len();
    while Instant::now() < end {
        let input = match usize::try_from(executions) {
            Ok(first) if first < known => corpus[first].clone(),
            _ => mutated(&mut dice, &corpus, words),
        };
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let shown = || String::from_utf8_lossy(&input[..input.len().min(400)]).into_owned();
        let Ok(taken) = outcome else {
            panic!(
                "{name} panicked on {} bytes (seed {seed}): {:02x?}\n{}",
                input.len(),
                &input[..input.len().min(400)],
                shown()
            );
        };
        assert!(started.elapsed() < SLOW, "{name} took {:?} for {} bytes: {}", started.elapsed(), input.len(), shown());
        executions += 1;
        accepted += u64::from(taken);
        if taken && corpus.len() < 256 && input.len() < 4_096 {
            corpus.push(input);
        }
    }
    println!("{name}: {executions} executions, {accepted} accepted");
    assert!(executions > known as u64, "{name} is too slow to be fuzzed: {executions} executions");
}

fn mutated(dice: &mut Dice, corpus: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut input = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len() + 1);
        match dice.below(8) {
            0 | 1 if at < input.len() => input[at] ^= 1 << dice.below(8),
            2 if at < input.len() => input[at] = [0, 0x7f, 0x80, 0xff, b'"', b'[', b'.', 0xdf][dice.below(8)],
            3 => input.truncate(at),
            4 => {
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            5 => {
                let upto = (at + dice.below(16)).min(input.len());
                let piece = input[at..upto].repeat(1 + dice.below(2_000));
                input.splice(at..at, piece);
            }
            6 => {
                let upto = (at + dice.below(8)).min(input.len());
                input.drain(at..upto);
            }
            _ if !words.is_empty() => {
                let word = words[dice.below(words.len())];
                let times = if dice.below(16) == 0 { dice.below(20_000) } else { 1 };
                input.splice(at..at, word.repeat(times.max(1)));
            }
            _ => {}
        }
        input.truncate(MOST);
    }
    input
}
