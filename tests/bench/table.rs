//! The rows of the answer.

use crate::machine::Machine;
use std::time::Duration;

/// What a ratio has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    AtLeast(f64),
    AtMost(f64),
}

/// One measured figure.
pub(crate) struct Outcome {
    name: String,
    measured: String,
    ceiling: String,
    ratio: String,
    reach: String,
    verdict: &'static str,
}

impl Outcome {
    /// A figure whose ratio to its ceiling was measured in several turns.
    pub(crate) fn of(name: &str, measured: String, ceiling: String, ratios: &[f64], reach: Reach) -> Self {
        let middle = median(ratios);
        let spread = match ratios {
            [] | [_] => String::new(),
            _ => format!(" ({:.2}-{:.2})", least(ratios), most(ratios)),
        };
        let (reach, reached) = match reach {
            Reach::AtLeast(wanted) => (format!(">= {wanted}"), middle >= wanted),
            Reach::AtMost(wanted) => (format!("<= {wanted}"), middle <= wanted),
        };
        let verdict = if reached { "reached" } else { "MISSED" };
        Self { name: name.into(), measured, ceiling, ratio: format!("{middle:.2}{spread}"), reach, verdict }
    }

    /// A figure with a fixed bound instead of a ceiling.
    pub(crate) fn bounded(name: &str, measured: String, figure: f64, bound: f64, unit: &str) -> Self {
        let verdict = if figure <= bound { "reached" } else { "MISSED" };
        let reach = format!("<= {bound} {unit}");
        Self { name: name.into(), measured, ceiling: "-".into(), ratio: "-".into(), reach, verdict }
    }

    /// A figure that nothing is asked of: others are computed from it.
    pub(crate) fn figure(name: &str, measured: String) -> Self {
        Self { verdict: "", ..Self::skipped(name, &measured) }
    }

    /// A figure this build cannot have yet.
    pub(crate) fn skipped(name: &str, why: &str) -> Self {
        let dash = || "-".to_owned();
        Self {
            name: name.into(),
            measured: why.into(),
            ceiling: dash(),
            ratio: dash(),
            reach: dash(),
            verdict: "skipped",
        }
    }

    pub(crate) fn failed(name: &str, why: &str) -> Self {
        Self { verdict: "FAILED", ..Self::skipped(name, why) }
    }

    fn cells(&self) -> [&str; 6] {
        [&self.name, &self.measured, &self.ceiling, &self.ratio, &self.reach, self.verdict]
    }
}

#[derive(Default)]
pub(crate) struct Table(Vec<(Outcome, f64)>);

impl Table {
    /// `others`: processors that others kept busy meanwhile.
    pub(crate) fn add(&mut self, outcomes: Vec<Outcome>, others: f64) {
        for outcome in &outcomes {
            eprintln!("    {}", outcome.cells().join(" | "));
        }
        self.0.extend(outcomes.into_iter().map(|outcome| (outcome, others)));
    }

    pub(crate) fn any_failed(&self) -> bool {
        self.0.iter().any(|(outcome, _)| outcome.verdict == "FAILED")
    }

    pub(crate) fn print(&self, since: &Machine) {
        let heads = ["figure", "measured", "ceiling of this run", "ratio (span)", "reach", "", "others' CPU"];
        let others: Vec<String> = self.0.iter().map(|(_, others)| format!("{others:.2}")).collect();
        let rows: Vec<Vec<&str>> = self
            .0
            .iter()
            .zip(&others)
            .map(|((outcome, _), others)| outcome.cells().into_iter().chain([others.as_str()]).collect())
            .collect();
        let width = |column: usize| {
            rows.iter().map(|row| row[column].chars().count()).chain([heads[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let line = |cells: &[&str]| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
        };
        println!("{}", line(&heads));
        println!("|{}|", widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|"));
        rows.iter().for_each(|row| println!("{}", line(row)));
        println!("\n{}", since.sentence());
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The duration below which this part of all lies, in milliseconds.
pub(crate) fn quantile_ms(durations: &[Duration], part: f64) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort();
    let last = sorted.len().saturating_sub(1);
    let at = (sorted.len() as f64 * part) as usize;
    sorted.get(at.min(last)).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e3)
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}
