//! Rate, errors and duration of requests by route template. One map look-up and three atomic additions a request.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use dashmap::DashMap;

use super::metrics::{Gauge, Histogram, LATENCY, Registry, label_text, render_head};

const METHODS: [&str; 7] = ["GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Route templates come from the code, so this is never reached unless somebody builds routes from data.
const MAX_ROUTES: usize = 2000;

fn method_index(method: &Method) -> usize {
    METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1)
}

/// The numbers of one route template.
#[derive(Debug)]
pub struct RouteMetrics {
    methods: [MethodMetrics; METHODS.len()],
}

#[derive(Debug)]
struct MethodMetrics {
    classes: [AtomicU64; CLASSES.len()],
    duration: Histogram,
}

impl RouteMetrics {
    fn new() -> Self {
        Self {
            methods: std::array::from_fn(|_| MethodMetrics {
                classes: Default::default(),
                duration: Histogram::new(LATENCY),
            }),
        }
    }

    /// Counts a finished request.
    pub fn record(&self, method: &Method, status: StatusCode, took: Duration) {
        let numbers = &self.methods[method_index(method)];
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        numbers.classes[class].fetch_add(1, Ordering::Relaxed);
        numbers.duration.observe_duration(took);
    }
}

/// The numbers of all routes.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    routes: Arc<DashMap<String, Arc<RouteMetrics>>>,
    unmatched: Arc<RouteMetrics>,
    /// Requests that run now.
    pub running: Gauge,
}

impl HttpMetrics {
    pub fn new(registry: &Registry) -> Self {
        let metrics = Self {
            routes: Arc::default(),
            unmatched: Arc::new(RouteMetrics::new()),
            running: registry.gauge("http_requests_running", "Requests that run at this moment.", &[]),
        };
        let shown = metrics.clone();
        registry.add_source(move |out| shown.render(out));
        metrics
    }

    /// The numbers of a route template; `None` when no route matched.
    pub fn route(&self, template: Option<&str>) -> Arc<RouteMetrics> {
        let Some(template) = template else { return self.unmatched.clone() };
        if let Some(known) = self.routes.get(template) {
            return known.clone();
        }
        if self.routes.len() >= MAX_ROUTES {
            return self.unmatched.clone();
        }
        self.routes.entry(template.to_owned()).or_insert_with(|| Arc::new(RouteMetrics::new())).clone()
    }

    fn render(&self, out: &mut String) {
        let mut routes: Vec<(String, Arc<RouteMetrics>)> =
            self.routes.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
        routes.push(("unmatched".to_owned(), self.unmatched.clone()));
        routes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let used = |numbers: &MethodMetrics| numbers.duration.count() > 0;

        render_head(out, "http_requests_total", "counter", "Requests by route template, method and class of status.");
        for (route, metrics) in &routes {
            for (method, numbers) in METHODS.iter().zip(&metrics.methods).filter(|(_, numbers)| used(numbers)) {
                for (class, count) in CLASSES.iter().zip(&numbers.classes) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        let labels = label_text(&[("route", route), ("method", method), ("status", class)]);
                        let _ = writeln!(out, "http_requests_total{{{labels}}} {count}");
                    }
                }
            }
        }
        render_head(out, "http_request_duration_seconds", "histogram", "Time from request head to response head.");
        for (route, metrics) in &routes {
            for (method, numbers) in METHODS.iter().zip(&metrics.methods).filter(|(_, numbers)| used(numbers)) {
                let labels = label_text(&[("route", route), ("method", method)]);
                numbers.duration.render(out, "http_request_duration_seconds", &labels);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_template_method_and_class() {
        let registry = Registry::new();
        let metrics = HttpMetrics::new(&registry);
        let route = metrics.route(Some("/v1/orders/{id}"));
        route.record(&Method::GET, StatusCode::OK, Duration::from_millis(3));
        route.record(&Method::GET, StatusCode::NOT_FOUND, Duration::from_millis(3));
        metrics.route(Some("/v1/orders/{id}")).record(&Method::GET, StatusCode::OK, Duration::ZERO);
        metrics.route(None).record(&Method::TRACE, StatusCode::NOT_FOUND, Duration::ZERO);
        let text = registry.render();
        for line in [
            "http_requests_total{route=\"/v1/orders/{id}\",method=\"GET\",status=\"2xx\"} 2",
            "http_requests_total{route=\"/v1/orders/{id}\",method=\"GET\",status=\"4xx\"} 1",
            "http_requests_total{route=\"unmatched\",method=\"other\",status=\"4xx\"} 1",
            "http_request_duration_seconds_count{route=\"/v1/orders/{id}\",method=\"GET\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
    }

    #[test]
    fn routes_are_bounded() {
        let metrics = HttpMetrics::new(&Registry::new());
        for n in 0..MAX_ROUTES + 50 {
            metrics.route(Some(&format!("/r{n}")));
        }
        assert_eq!(metrics.routes.len(), MAX_ROUTES);
    }
}
