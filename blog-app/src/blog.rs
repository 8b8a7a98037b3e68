//! The posts: listing, writing, changing, deleting.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::app::{App, found};
use crate::auth::{FormBody, Member};
use crate::cursor::Cursor;
use crate::error::Error;
use crate::forms::Draft;
use crate::page::{Page, html};
use crate::store::posts::{self, Listing, Post};
use crate::store::users::User;

/// How many posts a page shows.
pub const PAGE_SIZE: usize = 20;

/// The routes of the posts.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(list_posts))
        .route("/create", get(show_creation).post(create_post))
        .route("/{id}/update", get(show_post).post(update_post))
        .route("/{id}/delete", post(delete_post))
}

#[derive(Template)]
#[template(path = "blog/index.html")]
struct IndexPage {
    page: Page,
    listing: Listing,
    first: bool,
}

#[derive(Template)]
#[template(path = "blog/create.html")]
struct CreatePage {
    page: Page,
    draft: Draft,
}

#[derive(Template)]
#[template(path = "blog/update.html")]
struct UpdatePage {
    page: Page,
    id: i64,
    title: String,
    draft: Draft,
}

/// The place in the listing; nothing means the newest posts.
#[derive(Deserialize)]
struct Place {
    before: Option<String>,
}

async fn list_posts(
    State(app): State<Arc<App>>,
    page: Page,
    Query(place): Query<Place>,
) -> Result<Response, Error> {
    let before: Option<Cursor> = place.before.map(|text| text.parse()).transpose().map_err(Error::Cursor)?;
    let listing = posts::list(&app.database, before.as_ref(), PAGE_SIZE).await.map_err(Error::Store)?;
    html(&IndexPage { page, listing, first: before.is_none() })
}

async fn show_creation(Member { page, .. }: Member) -> Result<Response, Error> {
    html(&CreatePage { page, draft: Draft::default() })
}

async fn create_post(
    State(app): State<Arc<App>>,
    Member { page, user }: Member,
    body: FormBody,
) -> Result<Response, Error> {
    let draft = Draft::from_form(body.form()?).map_err(Error::Form)?;
    if let Some(problem) = draft.problem() {
        return html(&CreatePage { page: page.flash(problem), draft });
    }
    posts::insert(&app.database, user.id, &draft.title, &draft.body).await.map_err(Error::Store)?;
    Ok(found("/"))
}

async fn show_post(
    State(app): State<Arc<App>>,
    Member { page, user }: Member,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let Post { id, title, body, .. } = own_post(&app, &user, &id).await?;
    html(&UpdatePage { page, id, title: title.clone(), draft: Draft { title, body } })
}

async fn update_post(
    State(app): State<Arc<App>>,
    Member { page, user }: Member,
    Path(id): Path<String>,
    body: FormBody,
) -> Result<Response, Error> {
    let Post { id, title, .. } = own_post(&app, &user, &id).await?;
    let draft = Draft::from_form(body.form()?).map_err(Error::Form)?;
    if let Some(problem) = draft.problem() {
        return html(&UpdatePage { page: page.flash(problem), id, title, draft });
    }
    let changed = posts::update(&app.database, id, user.id, &draft.title, &draft.body).await;
    found_if(changed.map_err(Error::Store)?, id)
}

async fn delete_post(
    State(app): State<Arc<App>>,
    Member { user, .. }: Member,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let Post { id, .. } = own_post(&app, &user, &id).await?;
    let deleted = posts::delete(&app.database, id, user.id).await;
    found_if(deleted.map_err(Error::Store)?, id)
}

/// Back to the listing, unless the post was deleted in another window meanwhile.
fn found_if(done: bool, id: i64) -> Result<Response, Error> {
    if done { Ok(found("/")) } else { Err(Error::NoSuchPost(id)) }
}

/// The post, if there is one and it is the user's own. Anything but digits is no address of a post at all.
async fn own_post(app: &App, user: &User, id: &str) -> Result<Post, Error> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::NotFound);
    }
    let id = id.parse().map_err(|_| Error::NotFound)?;
    let post = posts::find(&app.database, id).await.map_err(Error::Store)?.ok_or(Error::NoSuchPost(id))?;
    if post.author_id != user.id {
        return Err(Error::Forbidden);
    }
    Ok(post)
}
