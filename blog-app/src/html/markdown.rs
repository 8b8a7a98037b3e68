//! Renders Markdown as HTML, in bounded depth, size and time.

use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};

use crate::html::forms::BODY_LIMIT;

/// Nesting limit; deeper elements are shown as text.
///
/// The sanitizer's time grows with the square of the depth.
const DEPTH_LIMIT: usize = 50;
/// Longest HTML of a post, in bytes.
///
/// A text that exceeds it is shown as it is.
pub const HTML_LIMIT: usize = 512 * 1024;
/// Longest address and longest title of a link, in bytes.
const LINK_LIMIT: usize = 2048;
/// Bytes of text per piece for the sanitizer.
const PIECE: usize = 1024;
/// Longest text that is rendered, in bytes: the form's limit.
const TEXT_LIMIT: usize = BODY_LIMIT * 4;
/// Time limit of rendering.
///
/// A text that exceeds it is shown as it is.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Allows only what Markdown itself can produce.
///
/// Images of other sites would reveal readers to those sites, so the pages' content security policy forbids them. Their
/// descriptions stay as text.
static CLEANER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let tags = [
        "a",
        "blockquote",
        "br",
        "code",
        "del",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "strong",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "tr",
        "ul",
    ];
    let mut cleaner = ammonia::Builder::default();
    cleaner
        .tags(HashSet::from(tags))
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .link_rel(Some("nofollow noopener ugc"));
    cleaner
});

/// Result of rendering a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Sanitized HTML.
    Html(String),
    /// The HTML would be too long.
    TooLong,
    /// Rendering took too long; on an idle machine it may not.
    TooSlow,
}

/// Renders Markdown as sanitized HTML.
#[must_use]
pub fn markdown(text: &str) -> Outcome {
    markdown_until(text, Instant::now() + TIME_LIMIT)
}

fn markdown_until(text: &str, deadline: Instant) -> Outcome {
    if text.len() > TEXT_LIMIT {
        return Outcome::TooLong;
    }
    let parser = Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    let in_time = Cell::new(true);
    let events = Guard::new(parser).take_while(|_| {
        in_time.set(Instant::now() < deadline);
        in_time.get()
    });
    let mut made = Bounded(String::with_capacity(text.len() * 3 / 2));
    if html::write_html_fmt(&mut made, events).is_err() {
        return Outcome::TooLong;
    }
    if !in_time.get() {
        return Outcome::TooSlow;
    }
    let cleaned = CLEANER.clean(&made.0).to_string();
    if cleaned.len() > HTML_LIMIT { Outcome::TooLong } else { Outcome::Html(cleaned) }
}

/// Filters Markdown events.
///
/// It drops raw HTML, images, elements that are nested too deeply and overlong addresses. The texts inside them stay.
struct Guard<'a, I> {
    events: I,
    ready: VecDeque<Event<'a>>,
    /// For each open element, whether it was passed on.
    open: Vec<bool>,
    /// Length of the text since the last element or split.
    text: usize,
}

impl<'a, I: Iterator<Item = Event<'a>>> Guard<'a, I> {
    fn new(events: I) -> Self {
        Self { events, ready: VecDeque::new(), open: Vec::new(), text: 0 }
    }

    fn pass(&mut self, event: Event<'a>) {
        self.text = 0;
        self.ready.push_back(event);
    }

    fn guard(&mut self, event: Event<'a>) {
        match event {
            Event::Html(_) | Event::InlineHtml(_) => {}
            Event::Start(tag) => {
                let passed = self.open.len() < DEPTH_LIMIT && is_wanted(&tag);
                self.open.push(passed);
                if passed {
                    self.pass(Event::Start(tag));
                }
            }
            Event::End(tag) => {
                if self.open.pop() == Some(true) {
                    self.pass(Event::End(tag));
                }
            }
            Event::Text(text) => self.pass_text(text),
            Event::Code(text) => {
                self.pass(Event::InlineHtml("<code>".into()));
                self.pass_text(text);
                self.pass(Event::InlineHtml("</code>".into()));
            }
            other => self.pass(other),
        }
    }

    /// Passes a text in pieces.
    ///
    /// The sanitizer's time grows with the square of a text's length. Comments between the pieces split it, and the
    /// sanitizer drops them.
    fn pass_text(&mut self, text: CowStr<'a>) {
        let mut rest = &*text;
        while !rest.is_empty() {
            if self.text >= PIECE {
                self.pass(Event::InlineHtml("<!---->".into()));
            }
            let (piece, after) = rest.split_at(rest.ceil_char_boundary(PIECE - self.text));
            self.text += piece.len();
            self.ready.push_back(Event::Text(piece.to_owned().into()));
            rest = after;
        }
    }
}

impl<'a, I: Iterator<Item = Event<'a>>> Iterator for Guard<'a, I> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        while self.ready.is_empty() {
            let event = self.events.next()?;
            self.guard(event);
        }
        self.ready.pop_front()
    }
}

fn is_wanted(tag: &Tag<'_>) -> bool {
    match tag {
        Tag::HtmlBlock | Tag::Image { .. } => false,
        Tag::Link { dest_url, title, .. } => dest_url.len() <= LINK_LIMIT && title.len() <= LINK_LIMIT,
        _ => true,
    }
}

/// A text that refuses to grow past the limit.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > HTML_LIMIT {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html_of(text: &str) -> String {
        match markdown(text) {
            Outcome::Html(html) => html,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn markdown_becomes_html() {
        assert_eq!(html_of("*a* **b** `c`"), "<p><em>a</em> <strong>b</strong> <code>c</code></p>\n");
        assert!(html_of("- one\n- two").contains("<li>one</li>"));
        let link = html_of("[x](https://example.org)");
        assert!(
            link.contains("rel=\"nofollow noopener ugc\"") && link.contains("https://example.org"),
            "{link}"
        );
    }

    #[test]
    fn nothing_that_runs_or_loads_comes_through() {
        for text in [
            "<script>alert(1)</script>",
            "[x](javascript:alert(1))",
            "<a href=\"data:text/html,x\" onclick=\"x\">y</a>",
            "![x](https://example.org/pixel.png)",
            "<img src=x onerror=alert(1)>",
            "<style>*{}</style><iframe src=x></iframe><form action=/auth/logout></form>",
            "<p style=\"x\" class=\"flash\" id=\"content\">",
        ] {
            let html = html_of(text);
            for bad in [
                "<script",
                "javascript:",
                "data:",
                "onclick",
                "<img",
                "<style",
                "<iframe",
                "<form",
                "style=",
                "class=",
                "id=",
            ] {
                assert!(!html.contains(bad), "{bad} in {html}");
            }
        }
    }

    #[test]
    fn html_of_the_author_is_dropped_and_its_text_stays() {
        assert_eq!(html_of("a <b>bold</b> <h1>x"), "<p>a bold x</p>\n");
        assert_eq!(html_of("<table><tr><td>x\n\nafter"), "<p>after</p>\n");
    }

    #[test]
    fn a_long_text_arrives_whole() {
        let text = "a&\u{1f363}".repeat(5000);
        let expected = format!("<p>{}</p>\n", text.replace('&', "&amp;"));
        assert_eq!(html_of(&text), expected);
        assert_eq!(
            html_of(&format!("`{text}`")),
            expected.replace("<p>", "<p><code>").replace("</p>", "</code></p>")
        );
    }

    #[test]
    fn a_picture_is_shown_by_its_description() {
        assert_eq!(html_of("![alt *x*](https://e/p.png)"), "<p>alt <em>x</em></p>\n");
    }

    #[test]
    fn deep_nesting_ends_in_text() {
        let html = html_of(&format!("{}deep", ">".repeat(60_000)));
        assert_eq!(html.matches("<blockquote>").count(), DEPTH_LIMIT);
        assert!(html.contains("deep"), "{html}");
        let emphasis = format!("{}x{}", "*a **b ".repeat(5000), "** *".repeat(5000));
        assert!(html_of(&emphasis).contains('x'));
    }

    /// Texts as long as the form accepts, each made to cost as much as it can.
    fn hostile() -> Vec<(&'static str, String)> {
        let fill = |unit: &str| unit.repeat(BODY_LIMIT / unit.chars().count());
        let columns = BODY_LIMIT / 8;
        let wide = format!("{}\n{}\n{}", "|a".repeat(columns), "|-".repeat(columns), "|\n".repeat(columns));
        let references =
            format!("[a]: http://x/{}\n\n{}", "y".repeat(BODY_LIMIT / 2), "[a]".repeat(BODY_LIMIT / 6));
        vec![
            ("quotes", fill(">")),
            ("spaced quotes", fill("> ")),
            ("lists", fill("- ")),
            ("numbers", fill("1. ")),
            ("quotes in lists", fill("> - ")),
            ("lines of quotes", fill(">>>>>>>>>>>>>>>>x\n")),
            ("steps", (1..360).map(|depth| format!("{}- x\n", " ".repeat(depth))).collect()),
            ("tags", fill("<b>")),
            ("blocks of tags", fill("<div>\n\n")),
            ("open tags", fill("<a ")),
            ("comments", fill("<!--")),
            ("instructions", fill("<?")),
            ("wide table", wide),
            ("many tables", fill("|a|\n|-|\n\n")),
            ("links", fill("[a](b)")),
            ("brackets", fill("[")),
            ("open links", fill("[a](")),
            ("nested links", fill("[a](<")),
            ("pictures", fill("![")),
            ("references", references),
            ("a link of entities", format!("[a](<{}>)", "&".repeat(BODY_LIMIT))),
            ("a title of entities", format!("[a](b \"{}\")", "&".repeat(BODY_LIMIT))),
            ("code of entities", format!("`{}`", "&".repeat(BODY_LIMIT))),
            ("a block of entities", format!("```\n{}\n```", "&".repeat(BODY_LIMIT))),
            ("entities", fill("&amp;")),
            ("ampersands", fill("&")),
            ("open entities", fill("&#")),
            ("no-break spaces", fill("\u{a0}")),
            ("emphasis", fill("*a **b ")),
            ("closing emphasis", fill("a**b_c* ")),
            ("stars", fill("*")),
            ("underscores", fill("_a")),
            ("strikes", fill("~~a ~b ")),
            ("ticks", (1..360).map(|count| format!("{}a", "`".repeat(count))).collect()),
            ("rules", fill("***\n")),
            ("headings", fill("# a\n")),
            ("backslashes", fill("\\")),
            ("definitions", (0..5000).map(|at| format!("[{at}]: x\n")).collect()),
            ("four bytes", fill("\u{1f363}")),
        ]
    }

    #[test]
    fn every_hostile_text_is_bounded_in_size_and_time() {
        for (name, text) in hostile() {
            let started = Instant::now();
            let outcome = markdown_until(&text, started + Duration::from_secs(60));
            let took = started.elapsed();
            eprintln!(
                "{name}: {} bytes, {took:?}, {}",
                text.len(),
                match &outcome {
                    Outcome::Html(html) => html.len().to_string(),
                    other => format!("{other:?}"),
                }
            );
            if let Outcome::Html(html) = &outcome {
                assert!(html.len() <= HTML_LIMIT, "{name}");
            }
            // The build isn't optimized, and other tests run in parallel.
            assert!(took < Duration::from_secs(15), "{name} took {took:?}");
        }
    }

    #[test]
    fn a_text_without_time_left_is_too_slow() {
        assert_eq!(markdown_until("text", Instant::now()), Outcome::TooSlow);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_or_write_a_script(text in "(<|>|script|[\\[\\]()!*_`#\"'= \n&;:/a-z])*") {
            proptest::prop_assert!(!html_of(&text).contains("<script"));
        }
    }
}
