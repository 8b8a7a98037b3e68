//! Formats times for readers.

use std::time::Duration;

/// Formats an age: `12 seconds ago`, `3 minutes ago`.
#[must_use]
pub fn ago(age: Duration) -> String {
    format!("{} ago", span(age))
}

/// Formats a duration: `12 seconds`, `3 minutes`, `1 hour`.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs().max(1);
    let (number, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7199 => (seconds / 60, "minute"),
        _ => (seconds / 3600, "hour"),
    };
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_the_largest_unit_that_fits() {
        let said = [0, 1, 59, 119, 120, 7199, 7200].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(
            said,
            ["1 second", "1 second", "59 seconds", "119 seconds", "2 minutes", "119 minutes", "2 hours"]
        );
    }
}
