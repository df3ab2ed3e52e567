//! Metrics in the Prometheus text format: atomics in the hot path, a lock only to register and to render.
//!
//! Labels name routes, methods, outcomes and parts of the platform. They never hold tenants, people or ids: their
//! number must be bounded by the code.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most label combinations of one metric; further ones are counted but not shown.
const MAX_SERIES: usize = 1000;

/// A number that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds and returns the new value.
    pub fn add(&self, amount: i64) -> i64 {
        self.0.fetch_add(amount, Ordering::Relaxed) + amount
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How observed whole numbers become buckets: upper bounds in raw units, and the factor that turns them into the unit
/// of the metric's name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub bounds: &'static [u64],
    pub unit: f64,
}

/// Microseconds shown as seconds, from 500 us to 10 s.
pub const LATENCY: Scale = Scale {
    bounds: &[500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 2_500_000, 10_000_000],
    unit: 1e-6,
};

/// A distribution over fixed buckets.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    scale: Scale,
    /// One more than bounds: the last is everything above. Not cumulative; rendering adds up.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub fn new(scale: Scale) -> Self {
        let counts = (0..=scale.bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { scale, counts, sum: AtomicU64::new(0) }))
    }

    /// Counts a value in raw units.
    pub fn observe(&self, value: u64) {
        let Buckets { scale, counts, sum } = &*self.0;
        let bucket = scale.bounds.partition_point(|bound| *bound < value);
        counts[bucket].fetch_add(1, Ordering::Relaxed);
        sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts a duration, for scales in microseconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_micros() as u64);
    }

    /// How many values were observed.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Appends the lines of this histogram.
    pub fn render(&self, out: &mut String, name: &str, labels: &str) {
        let Buckets { scale, counts, sum } = &*self.0;
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for (index, count) in counts.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            let _ = match scale.bounds.get(index) {
                Some(bound) => {
                    writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{}\"}} {total}", shown(*bound, scale.unit))
                }
                None => writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {total}"),
            };
        }
        let sum = shown(sum.load(Ordering::Relaxed), scale.unit);
        let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(out, "{name}_sum{braced} {sum}\n{name}_count{braced} {total}");
    }
}

/// A raw value in the unit of the metric, without the noise of binary fractions.
fn shown(raw: u64, unit: f64) -> f64 {
    let value = raw as f64 * unit;
    (value * 1e9).round() / 1e9
}

/// Appends the HELP and TYPE lines of a metric.
pub fn render_head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", help.replace('\\', "\\\\").replace('\n', "\\n"));
}

/// `a="x",b="y"`, escaped.
pub fn label_text(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let comma = if text.is_empty() { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{comma}{name}=\"{value}\"");
    }
    text
}

#[derive(Debug, Clone)]
enum Metric {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Metric {
    fn kind(&self) -> &'static str {
        match self {
            Metric::Counter(_) => "counter",
            Metric::Gauge(_) => "gauge",
            Metric::Histogram(_) => "histogram",
        }
    }
}

struct Family {
    name: &'static str,
    help: &'static str,
    series: Vec<(String, Metric)>,
}

type Source = Box<dyn Fn(&mut String) + Send + Sync>;

/// All metrics of the process. Clones share the same metrics.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Families>>);

#[derive(Default)]
struct Families {
    families: Vec<Family>,
    sources: Vec<Source>,
}

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter of this name and these labels; the same handle for the same labels. Names end in `_total`.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Counter {
        match self.metric(name, help, labels, || Metric::Counter(Counter::default())) {
            Metric::Counter(counter) => counter,
            _ => Counter::default(),
        }
    }

    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Gauge {
        match self.metric(name, help, labels, || Metric::Gauge(Gauge::default())) {
            Metric::Gauge(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        scale: Scale,
    ) -> Histogram {
        match self.metric(name, help, labels, || Metric::Histogram(Histogram::new(scale))) {
            Metric::Histogram(histogram) => histogram,
            _ => Histogram::new(scale),
        }
    }

    /// Adds something that renders its own lines whenever the metrics are read.
    pub fn add_source(&self, source: impl Fn(&mut String) + Send + Sync + 'static) {
        self.lock().sources.push(Box::new(source));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Families> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metric(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        make: impl FnOnce() -> Metric,
    ) -> Metric {
        let labels = label_text(labels);
        let mut inner = self.lock();
        let index = inner.families.iter().position(|family| family.name == name).unwrap_or_else(|| {
            inner.families.push(Family { name, help, series: Vec::new() });
            inner.families.len() - 1
        });
        let family = &mut inner.families[index];
        if let Some((_, metric)) = family.series.iter().find(|(known, _)| *known == labels) {
            return metric.clone();
        }
        let metric = make();
        let same_kind = family.series.first().is_none_or(|(_, first)| first.kind() == metric.kind());
        if same_kind && family.series.len() < MAX_SERIES {
            family.series.push((labels, metric.clone()));
        } else {
            tracing::error!(metric = name, labels, "metric not shown: wrong kind or too many label combinations");
        }
        metric
    }

    /// All metrics as Prometheus text.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        let inner = self.lock();
        for family in &inner.families {
            let Some((_, first)) = family.series.first() else { continue };
            render_head(&mut out, family.name, first.kind(), family.help);
            for (labels, metric) in &family.series {
                let name = family.name;
                let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
                let _ = match metric {
                    Metric::Counter(counter) => writeln!(out, "{name}{braced} {}", counter.get()),
                    Metric::Gauge(gauge) => writeln!(out, "{name}{braced} {}", gauge.get()),
                    Metric::Histogram(histogram) => {
                        histogram.render(&mut out, name, labels);
                        Ok(())
                    }
                };
            }
        }
        inner.sources.iter().for_each(|source| source(&mut out));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_the_format_of_prometheus() {
        let registry = Registry::new();
        registry.counter("jobs_total", "Jobs done.", &[("kind", "a\"b")]).add(2);
        registry.counter("jobs_total", "Jobs done.", &[("kind", "a\"b")]).increment();
        registry.gauge("depth", "Depth\nnow.", &[]).set(-3);
        let histogram =
            registry.histogram("wait_seconds", "Wait.", &[("q", "x")], Scale { bounds: &[1000, 2000], unit: 1e-6 });
        for micros in [1000, 1001, 2001] {
            histogram.observe_duration(Duration::from_micros(micros));
        }
        registry.add_source(|out| out.push_str("extra 1\n"));
        let expected = "# HELP jobs_total Jobs done.\n# TYPE jobs_total counter\njobs_total{kind=\"a\\\"b\"} 3\n\
            # HELP depth Depth\\nnow.\n# TYPE depth gauge\ndepth -3\n\
            # HELP wait_seconds Wait.\n# TYPE wait_seconds histogram\n\
            wait_seconds_bucket{q=\"x\",le=\"0.001\"} 1\nwait_seconds_bucket{q=\"x\",le=\"0.002\"} 2\n\
            wait_seconds_bucket{q=\"x\",le=\"+Inf\"} 3\nwait_seconds_sum{q=\"x\"} 0.004002\nwait_seconds_count{q=\"x\"} 3\n\
            extra 1\n";
        assert_eq!(registry.render(), expected);
    }

    #[test]
    fn a_name_used_twice_for_different_kinds_keeps_the_first() {
        let registry = Registry::new();
        registry.counter("x", "X.", &[]).increment();
        registry.gauge("x", "X.", &[]).set(9);
        registry.gauge("x", "X.", &[("a", "b")]).set(9);
        assert!(registry.render().ends_with("x 1\n"));
    }

    #[test]
    fn label_combinations_are_bounded() {
        let registry = Registry::new();
        for n in 0..MAX_SERIES + 10 {
            registry.counter("many_total", "Many.", &[("n", &n.to_string())]).increment();
        }
        assert_eq!(registry.render().lines().count(), MAX_SERIES + 2);
    }
}
