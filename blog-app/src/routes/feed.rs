//! The newest posts as an Atom feed (RFC 4287).

use atom_syndication::{Content, Entry, Feed, Link, Person, Text};

use crate::html::bodies::Bodies;
use crate::html::characters::without_forbidden;
use crate::html::layout::Site;
use crate::store::posts::{Listing, Post};

/// Renders the feed. `address` is the blog's own, without a trailing slash.
#[must_use]
pub fn atom(site: &Site, address: &str, listing: &Listing, bodies: &Bodies) -> String {
    let updated = listing.posts.first().map_or("1970-01-01 00:00:00", |post| post.created.as_str());
    let feed = Feed {
        title: Text::plain(carried(&site.title)),
        id: format!("{address}/"),
        updated: time(updated),
        links: vec![link("alternate", format!("{address}/")), link("self", format!("{address}/feed.atom"))],
        entries: listing.posts.iter().map(|post| entry(address, post, bodies)).collect(),
        ..Feed::default()
    };
    feed.to_string()
}

fn entry(address: &str, post: &Post, bodies: &Bodies) -> Entry {
    let created = time(&post.created);
    let body = match bodies.html(post) {
        Some(html) => {
            Content { value: Some(carried(html)), content_type: Some("html".into()), ..Content::default() }
        }
        None => Content {
            value: Some(carried(&post.body)),
            content_type: Some("text".into()),
            ..Content::default()
        },
    };
    Entry {
        title: Text::plain(carried(&post.title)),
        id: format!("{address}/{}", post.id),
        published: Some(created),
        updated: created,
        authors: vec![Person { name: carried(&post.author), ..Person::default() }],
        links: vec![link("alternate", format!("{address}/{}", post.id))],
        content: Some(body),
        ..Entry::default()
    }
}

/// Removes characters that XML forbids, which would make the whole feed unreadable.
///
/// Texts from an import, or from before the check existed, can hold them.
fn carried(text: &str) -> String {
    without_forbidden(text).into_owned()
}

fn link(rel: &str, href: String) -> Link {
    Link { rel: rel.to_owned(), href, ..Link::default() }
}

/// Parses a time of the database, which is in UTC without a zone.
///
/// An unreadable time is a bug, but the feed must work all the same.
fn time(created: &str) -> atom_syndication::FixedDateTime {
    let text = format!("{}+00:00", created.replacen(' ', "T", 1));
    text.parse().unwrap_or_default()
}
