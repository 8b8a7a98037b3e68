//! Parses `application/x-www-form-urlencoded` bodies and checks the limits of each field.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use thiserror::Error;

use crate::html::characters::{first_forbidden, without_forbidden};
use crate::html::names;

/// Longest name and title, in characters: the width of their columns.
pub const NAME_LIMIT: usize = 255;
/// Longest text of a post, in characters.
pub const BODY_LIMIT: usize = 65_536;
/// Longest password, in bytes: enough for any phrase, and hashing stays cheap.
pub const PASSWORD_LIMIT: usize = 1024;

/// Message for a name that can be taken for another user's.
pub const SIMILAR_NAME: &str =
    "This name looks like another user's. Please choose one that can't be taken for it.";

/// The form isn't one that the blog's pages send.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// A field is missing.
    #[error("failed to find the field {0} in the form")]
    MissingField(&'static str),
    /// The decoded bytes aren't UTF-8.
    #[error("failed to decode the form as UTF-8")]
    NotUtf8,
}

/// The fields of a form, in the order of the body.
#[derive(Debug)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Parses a body.
    ///
    /// Unlike the usual parsers it doesn't replace invalid UTF-8: a text is kept as it was typed or refused.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let fields = pairs.map(|pair| {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            Ok((decode(name)?, decode(value)?))
        });
        fields.collect::<Result<_, _>>().map(Self)
    }

    /// Takes the field's value, the first one if it occurs twice.
    pub fn take(&mut self, field: &'static str) -> Result<String, Error> {
        let at = self.0.iter().position(|(name, _)| name == field);
        at.map(|at| self.0.remove(at).1).ok_or(Error::MissingField(field))
    }
}

fn decode(bytes: &[u8]) -> Result<String, Error> {
    let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).decode_utf8().map(Cow::into_owned).map_err(|_| Error::NotUtf8)
}

/// Name and password, for registering and for logging in.
pub struct Login {
    /// The name.
    pub username: String,
    /// The password; it is never rendered into a page.
    pub password: String,
}

impl Login {
    /// Takes the fields from a form.
    pub fn from_form(mut form: Form) -> Result<Self, Error> {
        Ok(Self { username: form.take("username")?, password: form.take("password")? })
    }

    /// Returns it with the name in the form in which names are stored.
    #[must_use]
    pub fn for_registration(self) -> Self {
        // Control characters stay, so that the check refuses them with a message.
        if self.username.contains(char::is_control) {
            return self;
        }
        Self { username: names::normalized(&self.username), ..self }
    }

    /// Why these can't be registered, as a message for the page.
    #[must_use]
    pub fn registration_problem(&self) -> Option<String> {
        if self.username.is_empty() {
            return Some("Username is required.".to_owned());
        }
        if self.password.is_empty() {
            return password_problem(&self.password);
        }
        if self.username.chars().count() > NAME_LIMIT {
            return Some(format!("Username must be at most {NAME_LIMIT} characters long."));
        }
        if self.username.chars().any(char::is_control) {
            return Some("Username must not contain control characters.".to_owned());
        }
        if let Some(character) = self.username.chars().find(|character| names::is_invisible(*character)) {
            let code = u32::from(character);
            return Some(format!("Username must not contain invisible characters such as U+{code:04X}."));
        }
        password_problem(&self.password)
    }
}

/// Why this can't be a password, as a message for the page.
#[must_use]
pub fn password_problem(password: &str) -> Option<String> {
    if password.is_empty() {
        return Some("Password is required.".to_owned());
    }
    (password.len() > PASSWORD_LIMIT)
        .then(|| format!("Password must be at most {PASSWORD_LIMIT} bytes long."))
}

/// Title and text of a post.
#[derive(Default)]
pub struct Draft {
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
}

impl Draft {
    /// Takes the fields from a form.
    pub fn from_form(mut form: Form) -> Result<Self, Error> {
        Ok(Self { title: form.take("title")?, body: form.take("body")? })
    }

    /// Whether nothing was typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.title.is_empty() && self.body.is_empty()
    }

    /// Removes characters that no page or feed can carry.
    ///
    /// Returns a message for the page.
    pub fn remove_forbidden(&mut self) -> Option<String> {
        let found = [("Title", &self.title), ("Body", &self.body)]
            .into_iter()
            .find_map(|(field, text)| first_forbidden(text).map(|found| (field, found)));
        let (field, (character, line)) = found?;
        for text in [&mut self.title, &mut self.body] {
            *text = without_forbidden(text).into_owned();
        }
        Some(format!(
            "{field} had characters that can't be shown, the first one U+{:04X} in line {line}. They are removed below: \
             please look at the text and press Save again.",
            u32::from(character)
        ))
    }

    /// Why this can't be saved, as a message for the page.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if self.title.is_empty() {
            return Some("Title is required.".to_owned());
        }
        let (title, body) = (self.title.chars().count(), characters(&self.body));
        if title > NAME_LIMIT {
            return Some(format!("Title must be at most {NAME_LIMIT} characters long; it has {title}."));
        }
        (body > BODY_LIMIT)
            .then(|| format!("Body must be at most {BODY_LIMIT} characters long; it has {body}."))
    }
}

/// Browsers count a line break as one character and send it as two.
fn characters(text: &str) -> usize {
    text.chars().count() - text.matches("\r\n").count()
}

/// Message for a text that the original's tables can't hold.
pub fn column_error_message(field: &str, too_long: bool) -> String {
    let mut name = field.to_owned();
    name[..1].make_ascii_uppercase();
    let problem = if too_long { "is longer than" } else { "has characters other than those that" };
    format!("{name} {problem} this blog's database can hold. Its owner can widen it with `blog-app migrate`.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn login(username: &str, password: &str) -> Login {
        Login { username: username.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn what_is_not_utf8_is_refused_and_never_replaced() {
        assert_eq!(Form::parse(b"title=%ff").unwrap_err(), Error::NotUtf8);
        assert_eq!(Form::parse(b"title=\xff").unwrap_err(), Error::NotUtf8);
    }

    #[test]
    fn a_missing_field_is_told_by_its_name() {
        let form = Form::parse(b"username=a").unwrap();
        assert_eq!(Login::from_form(form).err(), Some(Error::MissingField("password")));
    }

    #[test]
    fn of_a_field_that_came_twice_the_first_counts() {
        let mut form = Form::parse(b"title=a&body=1&body=2").unwrap();
        assert_eq!(form.take("title").as_deref(), Ok("a"));
        assert_eq!(form.take("body").as_deref(), Ok("1"));
    }

    #[test]
    fn limits_count_characters_and_not_bytes() {
        assert_eq!(login(&"🍣".repeat(255), "x").registration_problem(), None);
        assert!(login(&"🍣".repeat(256), "x").registration_problem().is_some());
        let draft = Draft { title: "t".to_owned(), body: "🍣".repeat(BODY_LIMIT) };
        assert_eq!(draft.problem(), None);
        let lines = Draft { title: "t".to_owned(), body: "\r\n".repeat(BODY_LIMIT) };
        assert_eq!(lines.problem(), None);
        let long = Draft { title: "t".to_owned(), body: "x".repeat(BODY_LIMIT + 1) };
        let problem = long.problem().unwrap();
        assert_eq!(problem, "Body must be at most 65536 characters long; it has 65537.");
    }

    #[test]
    fn control_characters_in_a_name_are_refused_in_words() {
        for name in ["a\0b", "a\nb", "\u{7f}", "\u{85}"] {
            let problem = login(name, "x").registration_problem();
            assert_eq!(problem.as_deref(), Some("Username must not contain control characters."));
        }
    }

    proptest! {
        #[test]
        fn every_text_arrives_as_a_browser_encodes_it(text in any::<String>()) {
            let body = form_urlencoded::Serializer::new(String::new()).append_pair("title", &text).finish();
            let mut form = Form::parse(body.as_bytes()).unwrap();
            prop_assert_eq!(form.take("title").unwrap(), text);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in any::<Vec<u8>>()) {
            let _ = Form::parse(&bytes);
        }
    }
}
