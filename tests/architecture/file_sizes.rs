//! Files stay small enough to be read at once.

use super::{none_found, sources::files};

const MOST: usize = 600;
const P90: usize = 400;

#[test]
fn files_are_small() {
    let mut sizes = Vec::new();
    let mut findings = Vec::new();
    for source in files(&[".rs", ".sh", ".py", ".js", ".css", ".html"]) {
        let lines = source.text.lines().count();
        if lines > MOST {
            findings.push(format!("{}:{lines}: over {MOST} lines; split it by concept", source.path));
        }
        sizes.push(lines);
    }
    sizes.sort_unstable();
    let at = |percent: usize| sizes[(sizes.len() - 1) * percent / 100];
    println!("{} files, median {} lines, p90 {}, longest {}", sizes.len(), at(50), at(90), at(100));
    none_found("No file is over 600 lines:", findings);
    assert!(at(90) < P90, "nine of ten files stay under {P90} lines, now {}: split the longest", at(90));
}
