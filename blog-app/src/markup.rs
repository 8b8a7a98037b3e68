//! How the text of a post becomes HTML.

use std::collections::HashSet;
use std::sync::LazyLock;

use pulldown_cmark::{Options, Parser, html};

/// What the text of a post is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Markup {
    /// Text, shown with its line breaks, as Flaskr does.
    #[default]
    Plain,
    /// Markdown (CommonMark with tables and strikethrough). HTML in it is not passed on.
    Markdown,
}

/// Only what Markdown itself can make. Pictures of other sites would tell those who reads here, so the policy of the pages
/// forbids them; their descriptions stay as text.
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

/// Markdown as HTML that can do no harm.
#[must_use]
pub fn markdown(text: &str) -> String {
    let parser = Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    let mut made = String::with_capacity(text.len() * 3 / 2);
    html::push_html(&mut made, parser);
    CLEANER.clean(&made).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_html() {
        assert_eq!(markdown("*a* **b** `c`"), "<p><em>a</em> <strong>b</strong> <code>c</code></p>\n");
        assert!(markdown("- one\n- two").contains("<li>one</li>"));
        let link = markdown("[x](https://example.org)");
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
            let html = markdown(text);
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

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_or_write_a_script(text in "(<|>|script|[\\[\\]()!*_`#\"'= \n&;:/a-z])*") {
            proptest::prop_assert!(!markdown(&text).contains("<script"));
        }
    }
}
