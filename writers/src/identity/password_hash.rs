//! Hashing of passwords: argon2id as PHC strings, on threads of its own and never more at once than there are cores.
//!
//! One hash costs about 30 ms of a core and 19 MiB. Without a bound a few hundred attempts at once would take the
//! machine away from everything else, so beyond a short queue callers are told to come again ([`HashError::Overloaded`]).

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc},
};
use bus_schema::identity::account::PasswordHash;
use std::sync::Arc;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Memory in KiB, passes and lanes (OWASP's first recommendation for argon2id).
const MEMORY: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// What a stored hash may ask for at most, so that one brought from elsewhere cannot exhaust the machine.
const MAX_MEMORY: u32 = 262_144;
const MAX_PASSES: u32 = 10;
/// Bytes of a stored hash.
const MAX_PHC: usize = 256;
/// Attempts that may wait for a core, for each core: about two seconds.
const WAITING_PER_CORE: usize = 64;

/// What is verified against when nobody has the e-mail address, so that the answer takes as long. No password fits it.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// Hashes and verifies passwords. Cheap to clone; clones share the bound.
#[derive(Clone)]
pub struct PasswordPool {
    /// One permit for each hash under way.
    cores: Arc<Semaphore>,
    /// One permit for each hash under way or waiting.
    places: Arc<Semaphore>,
}

impl Default for PasswordPool {
    /// As wide as the machine.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores, cores * WAITING_PER_CORE)
    }
}

impl PasswordPool {
    /// `at_once` hashes under way, `waiting` beyond them.
    pub fn new(at_once: usize, waiting: usize) -> Self {
        let at_once = at_once.max(1);
        Self { cores: Arc::new(Semaphore::new(at_once)), places: Arc::new(Semaphore::new(at_once + waiting)) }
    }

    /// A new hash with a random salt. The password's rules are checked before, see `check_password`.
    pub async fn hash(&self, password: &str) -> Result<PasswordHash, HashError> {
        let password = Zeroizing::new(password.to_owned());
        self.run(move || hash(&password)).await?
    }

    /// Whether the password is the one that was hashed.
    pub async fn verify(&self, password: &str, hash: &PasswordHash) -> Result<bool, HashError> {
        let (password, hash) = (Zeroizing::new(password.to_owned()), hash.clone());
        self.run(move || verify(&password, &hash.0)).await?
    }

    /// Takes as long as [`PasswordPool::verify`] and finds nobody.
    pub async fn verify_nobody(&self, password: &str) -> Result<(), HashError> {
        self.verify(password, &PasswordHash(NOBODY.into())).await.map(|_| ())
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, HashError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| HashError::Overloaded)?;
        let core = self.cores.clone().acquire_owned().await.map_err(|_| HashError::Overloaded)?;
        // The permits go with the work: a caller who has gone away does not free a core that is still busy.
        let task = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((core, place));
            done
        });
        task.await.map_err(|error| HashError::Broken(error.to_string()))
    }
}

/// Whether a hash was made with less than today's parameters and should be made anew at the next sign-in.
pub fn needs_rehash(hash: &PasswordHash) -> bool {
    parameters(&hash.0).is_none_or(|(memory, passes)| memory < MEMORY || passes < PASSES)
}

/// Whether a hash may be stored: argon2id as a PHC string, within the limits of what verifying it may cost.
pub fn is_acceptable(hash: &PasswordHash) -> bool {
    parameters(&hash.0).is_some()
}

/// Memory and passes of a well-formed argon2id hash that this machine is willing to verify.
fn parameters(phc: &str) -> Option<(u32, u32)> {
    if phc.len() > MAX_PHC {
        return None;
    }
    let parsed = phc::PasswordHash::new(phc).ok()?;
    let is_argon2id = parsed.algorithm.as_str() == Algorithm::Argon2id.as_str();
    let complete = parsed.version == Some(Version::V0x13.into()) && parsed.salt.is_some() && parsed.hash.is_some();
    let params = Params::try_from(&parsed).ok()?;
    let affordable = params.m_cost() <= MAX_MEMORY && params.t_cost() <= MAX_PASSES && params.p_cost() <= 16;
    (is_argon2id && complete && affordable).then_some((params.m_cost(), params.t_cost()))
}

fn hash(password: &str) -> Result<PasswordHash, HashError> {
    let broken = |error: &dyn std::fmt::Display| HashError::Broken(error.to_string());
    let params = Params::new(MEMORY, PASSES, LANES, None).map_err(|error| broken(&error))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| broken(&error))?;
    let hash = argon2.hash_password_with_salt(password.as_bytes(), &salt).map_err(|error| broken(&error))?;
    Ok(PasswordHash(hash.to_string()))
}

fn verify(password: &str, phc: &str) -> Result<bool, HashError> {
    if parameters(phc).is_none() {
        return Err(HashError::Broken("a stored hash is not an argon2id PHC string within the limits".into()));
    }
    let parsed = phc::PasswordHash::new(phc).map_err(|error| HashError::Broken(error.to_string()))?;
    match Argon2::default().verify_password(password.as_bytes(), &parsed) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(HashError::Broken(error.to_string())),
    }
}

/// Why there is no hash and no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    #[error("too many sign-ins at this moment; try again in a few seconds")]
    Overloaded,
    #[error("a password could not be hashed or verified: {0}")]
    Broken(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by another implementation's rules of the same format, with less memory than today's.
    fn old_hash(password: &str) -> PasswordHash {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        PasswordHash(argon2.hash_password_with_salt(password.as_bytes(), b"0123456789abcdef").unwrap().to_string())
    }

    #[tokio::test]
    async fn a_hash_is_argon2id_with_todays_parameters_and_verifies() {
        let pool = PasswordPool::default();
        let hash = pool.hash("Tulip-3-bridge").await.unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
        assert!(is_acceptable(&hash) && !needs_rehash(&hash));
        assert!(pool.verify("Tulip-3-bridge", &hash).await.unwrap());
        assert!(!pool.verify("Tulip-3-bridgf", &hash).await.unwrap());
        assert_ne!(pool.hash("Tulip-3-bridge").await.unwrap(), hash, "salts differ");
        assert!(!format!("{hash:?}").contains("argon2id"));
    }

    #[test]
    fn an_old_hash_verifies_and_is_to_be_made_anew() {
        let old = old_hash("Tulip-3-bridge");
        assert!(verify("Tulip-3-bridge", &old.0).unwrap());
        assert!(needs_rehash(&old) && is_acceptable(&old));
    }

    #[test]
    fn nobody_is_a_real_hash_with_todays_parameters() {
        assert!(!needs_rehash(&PasswordHash(NOBODY.into())));
        assert_eq!(verify("", NOBODY), Ok(false));
    }

    #[test]
    fn other_and_costly_hashes_are_refused_before_they_cost_anything() {
        for bad in [
            "",
            "secret",
            "$2b$12$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghijklmnopqr",
            &NOBODY.replace("argon2id", "argon2i"),
            &NOBODY.replace("m=19456", "m=4000000"),
            &NOBODY.replace("t=2", "t=1000"),
            &NOBODY.replace("v=19", "v=16"),
            "$argon2id$v=19$m=19456,t=2,p=1",
            &format!("{NOBODY}{}", "A".repeat(300)),
        ] {
            assert!(!is_acceptable(&PasswordHash(bad.into())), "{bad}");
            assert!(verify("x", bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn beyond_the_queue_callers_are_told_to_come_again() {
        let pool = PasswordPool::new(1, 1);
        let (first, second, third) = tokio::join!(pool.hash("a"), pool.hash("b"), pool.hash("c"));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(third, Err(HashError::Overloaded));
        assert!(pool.hash("d").await.is_ok(), "the places are free again");
    }
}
