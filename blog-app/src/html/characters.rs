//! Characters that a feed can't carry, or that a terminal acts on.

use std::borrow::Cow;

/// Whether XML 1.0 forbids this character, or discourages it as a control character.
///
/// Terminals act on those.
#[must_use]
pub fn is_forbidden(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => false,
        '\u{FFFE}' | '\u{FFFF}' => true,
        other => other.is_control(),
    }
}

/// Removes them from the text.
#[must_use]
pub fn without_forbidden(text: &str) -> Cow<'_, str> {
    if text.contains(is_forbidden) {
        Cow::Owned(text.chars().filter(|character| !is_forbidden(*character)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// The first of them, and its line.
#[must_use]
pub fn first_forbidden(text: &str) -> Option<(char, usize)> {
    let at = text.find(is_forbidden)?;
    let line = text[..at].matches('\n').count() + 1;
    text[at..].chars().next().map(|character| (character, line))
}

/// Escapes a text for one line on a terminal.
///
/// Characters that a terminal acts on, or that change the text's direction, are shown by their number.
#[must_use]
pub fn printable(text: &str) -> String {
    let odd = |character: char| {
        character.is_control()
            || is_forbidden(character)
            || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut line, character| {
        if odd(character) {
            line.extend(character.escape_unicode());
        } else {
            line.push(character);
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_forbids_is_removed_and_line_breaks_stay() {
        assert_eq!(without_forbidden("a\u{b}b\u{1}\u{9b}\u{7f}\u{fffe}\u{ffff}\tc\r\n"), "ab\tc\r\n");
        assert!(matches!(without_forbidden("plain \u{200f}\u{1f363}"), Cow::Borrowed(_)));
        assert_eq!(first_forbidden("one\ntwo\u{b}"), Some(('\u{b}', 2)));
        assert_eq!(first_forbidden("one\r\ntwo"), None);
    }

    #[test]
    fn a_terminal_gets_nothing_to_act_on() {
        assert_eq!(printable("a\u{1b}[2Jb\n\u{9b}\u{202e}c é"), "a\\u{1b}[2Jb\\u{a}\\u{9b}\\u{202e}c é");
    }

    proptest::proptest! {
        #[test]
        fn what_is_left_is_what_xml_allows(text in proptest::prelude::any::<String>()) {
            for character in without_forbidden(&text).chars() {
                let allowed = matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..);
                proptest::prop_assert!(allowed);
            }
        }
    }
}
