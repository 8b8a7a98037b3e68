//! Data of a dashboard's panels, for `dev/panels.sh` to draw.

use std::path::Path;

use operator::monitoring::expressions;
use serde_json::{Value, json};

use super::{INTERVAL, encoded, result};

/// Seconds between two points.
const STEP: u64 = 3;

/// Writes the dashboard with the data of each panel.
///
/// The data is from `start` to `end`, in seconds since 1970.
pub fn write(prometheus: u16, dashboard: &Value, start: u64, end: u64, file: &Path) {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let panels: Vec<Value> = panels.map(|panel| with_lines(prometheus, panel, start, end)).collect();
    let drawn =
        json!({"title": dashboard["title"], "start": start, "end": end, "step": STEP, "panels": panels});
    std::fs::write(file, drawn.to_string()).unwrap();
}

fn with_lines(prometheus: u16, panel: &Value, start: u64, end: u64) -> Value {
    let asked = expressions(&json!({"panels": [panel]}), INTERVAL);
    let targets = panel["targets"].as_array().unwrap();
    let lines = asked.iter().zip(targets).flat_map(|((_, expr), target)| {
        let request = format!("query_range?query={}&start={start}&end={end}&step={STEP}", encoded(expr));
        let legend = target["legendFormat"].as_str().unwrap().to_owned();
        result(prometheus, &request)
            .into_iter()
            .map(move |one| json!({"legend": filled(&legend, &one["metric"]), "values": one["values"]}))
    });
    let lines: Vec<Value> = lines.collect();
    json!({"title": panel["title"], "place": panel["gridPos"], "unit": panel["fieldConfig"]["defaults"]["unit"], "lines": lines})
}

/// Fills in a legend's labels: `{{status}}` becomes `200`.
fn filled(legend: &str, labels: &Value) -> String {
    let labels = labels.as_object().unwrap().iter();
    labels.fold(legend.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{{{name}}}}}"), value.as_str().unwrap_or_default())
    })
}
