//! Public pages: the listing, a post, an author's posts, the feed.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::cache::encoded_page::EncodedPage;
use crate::cache::page_cache::{CachedPage, Content, Missing, View};
use crate::error::{Cause, Error, RETRY_AFTER, chain};
use crate::extract::path_id::number;
use crate::html::bodies::Bodies;
use crate::html::layout::Page;
use crate::html::redirect::redirect;
use crate::routes::feed;
use crate::routes::responses::with_retry_after;
use crate::security::session;
use crate::state::AppState;
use crate::store::page_cursor::PageCursor;
use crate::store::posts::{Listing, Place, Post};
use crate::store::users::User;

/// The routes for readers.
pub fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/", get(show_index))
        .route("/{id}", get(show_post))
        .route("/author/{id}", get(show_author))
        .route("/feed.atom", get(show_feed))
}

#[derive(Template)]
#[template(path = "blog/index.html")]
struct IndexPage<'a> {
    page: Page,
    bodies: &'a Bodies,
    listing: &'a Listing,
}

impl IndexPage<'_> {
    /// The listing's own address, for links to its other pages.
    fn here(&self) -> &'static str {
        "/"
    }
}

#[derive(Template)]
#[template(path = "blog/author.html")]
struct AuthorPage<'a> {
    page: Page,
    bodies: &'a Bodies,
    author: &'a User,
    listing: &'a Listing,
}

impl AuthorPage<'_> {
    fn here(&self) -> String {
        author_path(self.author.id)
    }
}

fn author_path(id: i64) -> String {
    format!("/author/{id}")
}

#[derive(Template)]
#[template(path = "blog/post.html")]
struct PostPage<'a> {
    page: Page,
    bodies: &'a Bodies,
    post: &'a Post,
    newer: Option<&'a Post>,
    older: Option<&'a Post>,
}

/// The page of the listing that the address selects.
///
/// Empty means the newest posts.
#[derive(Deserialize)]
struct PlaceQuery {
    before: Option<String>,
    after: Option<String>,
}

impl PlaceQuery {
    fn place(self) -> Result<Place, Error> {
        let cursor = |text: String| text.parse::<PageCursor>().map_err(Error::Cursor);
        match (self.before, self.after) {
            (Some(before), _) => cursor(before).map(Place::Before),
            (None, Some(after)) => cursor(after).map(Place::After),
            (None, None) => Ok(Place::Newest),
        }
    }
}

async fn show_index(
    State(app): State<Arc<AppState>>,
    page: Result<Page, Error>,
    headers: HeaderMap,
    Query(query): Query<PlaceQuery>,
) -> Result<Response, Error> {
    show(&app, page, &headers, View::Index(query.place()?)).await
}

async fn show_author(
    State(app): State<Arc<AppState>>,
    page: Result<Page, Error>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<PlaceQuery>,
) -> Result<Response, Error> {
    show(&app, page, &headers, View::Author(number(&id)?, query.place()?)).await
}

async fn show_post(
    State(app): State<Arc<AppState>>,
    page: Result<Page, Error>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    show(&app, page, &headers, View::Post(number(&id)?)).await
}

async fn show_feed(State(app): State<Arc<AppState>>, headers: HeaderMap) -> Result<Response, Error> {
    let view = View::Index(Place::Newest);
    let known =
        app.page_cache.get_or_fetch(&app.database, &view).await.map_err(|missing| error(&view, &missing))?;
    let Content::Index(listing) = &known.content else { return Err(Error::NotFound) };
    let bodies = app.markdown.bodies(&app.pool, app.site.markup, listing.posts.iter()).await?;
    let (site, address, listing) = (Arc::clone(&app.site), app.address(&headers), listing.clone());
    let size = known.content.weight() + bodies.size();
    let text = app.pool.run_sized(size, move || feed::atom(&site, &address, &listing, &bodies)).await?;
    Ok(([(header::CONTENT_TYPE, "application/atom+xml; charset=utf-8")], text).into_response())
}

/// Shows a view.
///
/// After an own write the content is current, else at most a second old. While the database is unavailable it is the
/// last content that was read.
async fn show(
    app: &AppState,
    page: Result<Page, Error>,
    headers: &HeaderMap,
    view: View,
) -> Result<Response, Error> {
    if app.page_cache.is_tripped()
        && let Some(known) = app.page_cache.get_stale(&view)
    {
        return stale(app, &known, "queried a moment ago").await;
    }
    let page = match page {
        Ok(page) => page,
        Err(error) if error.is_unavailable() => return stale_or(app, &view, error).await,
        Err(error) => return Err(error),
    };
    let looked = if has_just_written(headers) {
        app.page_cache.fetch(&app.database, &view).await
    } else {
        app.page_cache.get_or_fetch(&app.database, &view).await
    };
    match looked {
        Ok(known) => answer(app, page, headers, &view, &known).await,
        Err(missing) => stale_or(app, &view, error(&view, &missing)).await,
    }
}

fn has_just_written(headers: &HeaderMap) -> bool {
    session::cookies(headers, session::WROTE_COOKIE).next().is_some()
}

async fn answer(
    app: &AppState,
    page: Page,
    headers: &HeaderMap,
    view: &View,
    known: &Arc<CachedPage>,
) -> Result<Response, Error> {
    if let Some(elsewhere) = beginning(view, &known.content) {
        return Ok(found_at(&elsewhere));
    }
    if page.viewer.is_some() {
        return html_of(app, page, known).await;
    }
    let answer = match known.page.get() {
        Some(rendered) => rendered.answer(&app.pool, headers).await?,
        None => first_answer(app, page, headers, known).await?,
    };
    app.page_cache.weigh_again(view, known);
    Ok(answer)
}

/// Renders the page, and caches it.
///
/// It isn't cached if the rendering of a text may be retried later.
async fn first_answer(
    app: &AppState,
    page: Page,
    headers: &HeaderMap,
    known: &Arc<CachedPage>,
) -> Result<Response, Error> {
    let bodies = bodies_of(app, known).await?;
    if !bodies.is_final() {
        let rendered = text_of(app, page, known, bodies, EncodedPage::html).await?;
        return Ok(rendered.answer(&app.pool, headers).await?);
    }
    let make = || text_of(app, page, known, bodies, EncodedPage::html);
    Ok(known.page.get_or_try_init(make).await?.answer(&app.pool, headers).await?)
}

/// Paging back ends at the beginning, which has an address of its own.
fn beginning(view: &View, content: &Content) -> Option<String> {
    match (view, content) {
        (View::Index(Place::After(_)), Content::Index(listing)) if listing.newer.is_none() => {
            Some("/".into())
        }
        (View::Author(id, Place::After(_)), Content::Author(_, listing)) if listing.newer.is_none() => {
            Some(author_path(*id))
        }
        _ => None,
    }
}

fn found_at(path: &str) -> Response {
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    let mut response = redirect("/");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

async fn bodies_of(app: &AppState, known: &CachedPage) -> Result<Bodies, Error> {
    Ok(app.markdown.bodies(&app.pool, app.site.markup, known.content.posts()).await?)
}

/// Transforms the page's text; large ones on another thread.
async fn text_of<T: Send + 'static>(
    app: &AppState,
    page: Page,
    known: &Arc<CachedPage>,
    bodies: Bodies,
    into: impl FnOnce(String) -> T + Send + 'static,
) -> Result<T, Error> {
    let (known, size) = (Arc::clone(known), known.content.weight() + bodies.size());
    app.pool.run_sized(size, move || render(page, &known.content, &bodies).map(into)).await?
}

fn render(page: Page, content: &Content, bodies: &Bodies) -> Result<String, Error> {
    match content {
        Content::Index(listing) => IndexPage { page, bodies, listing }.render(),
        Content::Author(author, listing) => AuthorPage { page, bodies, author, listing }.render(),
        Content::Post(post, newer, older) => {
            PostPage { page, bodies, post, newer: newer.as_ref(), older: older.as_ref() }.render()
        }
    }
    .map_err(Error::Render)
}

async fn html_of(app: &AppState, page: Page, known: &Arc<CachedPage>) -> Result<Response, Error> {
    let bodies = bodies_of(app, known).await?;
    text_of(app, page, known, bodies, |text| Html(text).into_response()).await
}

fn error(view: &View, missing: &Missing) -> Error {
    match (missing, view) {
        (Missing::Failed(reason), _) => Error::Shared(Arc::clone(reason)),
        (Missing::Nothing, View::Post(id)) => Error::NoSuchPost(*id),
        (Missing::Nothing, _) => Error::NotFound,
    }
}

async fn stale_or(app: &AppState, view: &View, error: Error) -> Result<Response, Error> {
    match app.page_cache.get_stale(view).filter(|_| error.is_unavailable()) {
        Some(known) => stale(app, &known, &chain(&error)).await,
        None => Err(error),
    }
}

/// Shows the stale page.
///
/// The status 503 keeps search engines and caches from storing it as the current page.
async fn stale(app: &AppState, known: &Arc<CachedPage>, cause: &str) -> Result<Response, Error> {
    let age = crate::html::humanize::ago(known.age());
    let message = format!(
        "The blog can't reach its database at the moment. This is the page as it was {age}; \
         writing and logging in will work again in a while."
    );
    let page = html_of(app, Page::anonymous(&app.site).flash(message), known).await?;
    let mut response = with_retry_after(page, StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(Cause(cause.to_owned()));
    app.metrics.stale_pages.inc();
    Ok(response)
}
