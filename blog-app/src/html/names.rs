//! Names of new users: normalized, without invisible characters, and not confusable with another's.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Selects the coloured form of the preceding character, in emoji.
const EMOJI_PRESENTATION: char = '\u{FE0F}';

/// Normalizes a new name: compatibility forms become plain ones, spaces between words single.
#[must_use]
pub fn normalized(name: &str) -> String {
    let plain: String = name.nfkc().collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a character is invisible or changes the direction of its neighbours.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    match character {
        EMOJI_PRESENTATION => false,
        // Fillers and selectors, which Unicode classifies as letters, marks or symbols.
        '\u{34F}'
        | '\u{115F}'
        | '\u{1160}'
        | '\u{17B4}'
        | '\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0E}'
        | '\u{FFA0}'
        | '\u{E0100}'..='\u{E01EF}' => true,
        other => matches!(
            other.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
                | GeneralCategory::PrivateUse
                | GeneralCategory::Surrogate
                | GeneralCategory::Unassigned
        ),
    }
}

/// Returns the same value for confusable names (UTS #39), ignoring case.
pub(crate) fn skeleton(name: &str) -> String {
    // Upper and then lower case also folds letters that have only one of them.
    let folded = name.to_uppercase().to_lowercase();
    let visible: String = folded.chars().filter(|character| *character != EMOJI_PRESENTATION).collect();
    unicode_security::skeleton(&visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        for name in ["ada ", " ada", "\u{ff41}\u{ff44}\u{ff41}", "ada\u{a0}", "\u{3000}ada"] {
            assert_eq!(normalized(name), "ada", "{name:?}");
        }
        assert_eq!(normalized("a\u{301}da  x"), "\u{e1}da x");
        assert_eq!(normalized(" \u{2003}"), "");
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        for name in ["Ada", "ADA", "\u{430}da", "\u{430}d\u{430}"] {
            assert_eq!(skeleton(name), skeleton("ada"), "{name:?}");
        }
        for name in ["\u{e1}da", "ade", "\u{1f363}", "a da"] {
            assert_ne!(skeleton(name), skeleton("ada"), "{name:?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_invisible() {
        for character in
            ['\u{200B}', '\u{202E}', '\u{2028}', '\u{3164}', '\u{AD}', '\u{FEFF}', '\u{E000}', '\0']
        {
            assert!(is_invisible(character), "{character:?}");
        }
        assert!(
            "a\u{e9}\u{1f363}\u{2764}\u{FE0F} \u{4e2d}".chars().all(|character| !is_invisible(character))
        );
    }
}
