//! Cursor of a page of the listing.
//!
//! It is the time and id of the last post of the page before.
//!
//! Posts of the same second keep their order, and new posts shift nothing.

use std::fmt;

use thiserror::Error;

/// A position in the listing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageCursor {
    /// Time of the last post on the page before, as the database writes it.
    pub created: String,
    /// Id of that post.
    pub id: i64,
}

/// The text isn't a valid cursor.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("failed to read the page's place in the listing")]
pub struct InvalidCursor;

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.created.replacen(' ', "T", 1), self.id)
    }
}

impl std::str::FromStr for PageCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (created, id) = text.split_once(',').ok_or(InvalidCursor)?;
        let id = id.parse().map_err(|_| InvalidCursor)?;
        if !is_time(created) {
            return Err(InvalidCursor);
        }
        Ok(Self { created: created.replacen('T', " ", 1), id })
    }
}

/// Checks the format strictly.
///
/// MySQL reports an error for an impossible date instead of an empty result.
pub fn is_time(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let fraction_fits = fraction.is_none_or(|digits| (1..=6).contains(&digits.len()) && is_digits(digits));
    fraction_fits && is_whole_time(whole.as_bytes())
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_whole_time(text: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let fits =
        |(&byte, &shape): (&u8, &u8)| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    if text.len() != SHAPE.len() || !text.iter().zip(SHAPE).all(fits) {
        return false;
    }
    let number = |from: usize, to: usize| {
        text[from..to].iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let time_fits = number(11, 13) < 24 && number(14, 16) < 60 && number(17, 19) < 60;
    year > 0 && (1..=12).contains(&month) && day >= 1 && day <= days(year, month) && time_fits
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_the_way_through_a_link() {
        for created in ["2026-11-23 19:59:49", "2018-01-01 00:00:00.123456"] {
            let cursor = PageCursor { created: created.to_owned(), id: 7 };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn impossible_dates_and_odd_texts_are_refused() {
        for text in [
            "",
            "1",
            ",",
            "2026-02-30T00:00:00,1",
            "2026-00-01T00:00:00,1",
            "0000-01-01T00:00:00,1",
            "2026-01-01T24:00:00,1",
            "2026-01-01 00:00:00,1",
            "2026-01-01T00:00:00.,1",
            "2026-01-01T00:00:00,x",
            "2026-01-01T00:00:00' OR 1=1 --,1",
        ] {
            assert_eq!(text.parse::<PageCursor>(), Err(InvalidCursor), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _ = text.parse::<PageCursor>();
        }
    }
}
