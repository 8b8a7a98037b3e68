//! Creating, editing and deleting posts.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::error::Error;
use crate::extract::form_body::LargeForm;
use crate::extract::member::{Member, NotMember};
use crate::extract::path_id::number;
use crate::html::forms::{Draft, column_error_message};
use crate::html::layout::Page;
use crate::html::redirect::redirect;
use crate::middleware::error_pages::with_status;
use crate::routes::responses::{html, unavailable_with_form};
use crate::routes::resume;
use crate::security::session::SET_WROTE_COOKIE;
use crate::state::AppState;
use crate::store;
use crate::store::posts::{self, Post};
use crate::store::users::User;

/// The routes for authors.
pub fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/create", get(show_creation).post(create_post))
        .route("/{id}/update", get(show_post).post(update_post))
        .route("/{id}/delete", post(delete_post))
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

/// Subject of a request: a new post or an existing one.
#[derive(Clone, Copy)]
pub enum Subject {
    /// A new post.
    New,
    /// The post with this id.
    Existing(i64),
}

impl Subject {
    /// The post's id, if it exists already.
    #[must_use]
    pub fn id(self) -> Option<i64> {
        match self {
            Self::New => None,
            Self::Existing(id) => Some(id),
        }
    }
}

async fn show_creation(Member { page, .. }: Member) -> Result<Response, Error> {
    html(&CreatePage { page, draft: Draft::default() })
}

async fn show_post(
    State(app): State<Arc<AppState>>,
    Member { page, user }: Member,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let Post { id, title, body, .. } = own_post(&app, &user, number(&id)?).await?;
    html(&UpdatePage { page, id, title: title.clone(), draft: Draft { title, body } })
}

async fn create_post(
    State(app): State<Arc<AppState>>,
    member: Result<Member, NotMember>,
    request: Request,
) -> Response {
    save(&app, member, Subject::New, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn update_post(
    State(app): State<Arc<AppState>>,
    member: Result<Member, NotMember>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let saved = match number(&id) {
        Ok(id) => save(&app, member, Subject::Existing(id), request).await,
        Err(error) => match member {
            Ok(_) => Err(error),
            Err(refusal) => Ok(refusal.into_response()),
        },
    };
    saved.unwrap_or_else(IntoResponse::into_response)
}

/// Saves a post.
///
/// If the session has ended, or can't be checked since the database is unavailable, the typed text comes back.
async fn save(
    app: &Arc<AppState>,
    member: Result<Member, NotMember>,
    subject: Subject,
    request: Request,
) -> Result<Response, Error> {
    let Member { page, user } = match member {
        Ok(member) => member,
        Err(NotMember::Failed(error)) if error.is_unavailable() => {
            let (draft, _) = draft_in(app, request, true).await?;
            return unavailable_editor(Page::anonymous(&app.site), subject, draft, &error);
        }
        Err(NotMember::LogIn) => return Ok(without_member(app, subject, request).await),
        Err(refusal) => return Ok(refusal.into_response()),
    };
    let title = match own_post_of(app, &user, subject).await {
        Ok(title) => title,
        Err(error) if error.is_unavailable() => {
            return unavailable_editor(page, subject, draft_in(app, request, true).await?.0, &error);
        }
        Err(error) => return Err(error),
    };
    let (mut draft, is_oversize) = draft_in(app, request, true).await?;
    if let Some(problem) = draft.remove_forbidden().or_else(|| draft.problem()) {
        let form = form(page.flash(problem), subject, title, draft)?;
        return Ok(if is_oversize { with_status(form, StatusCode::PAYLOAD_TOO_LARGE) } else { form });
    }
    match store_draft(app, &user, subject, &draft).await {
        Ok(()) => Ok(written()),
        Err(Error::Store(store::Error::DoesNotFit { field, too_long, .. })) => {
            form(page.flash(column_error_message(field, too_long)), subject, title, draft)
        }
        Err(error) if error.is_unavailable() => unavailable_editor(page, subject, draft, &error),
        Err(error) => Err(error),
    }
}

/// Without a login the typed text comes back with a login form.
///
/// A request without a text is redirected.
async fn without_member(app: &Arc<AppState>, subject: Subject, request: Request) -> Response {
    let of_member = resume::was_here_before(app, request.headers());
    match draft_in(app, request, of_member).await {
        Ok((draft, _)) if !draft.is_empty() => {
            resume::ask_to_log_in(Page::anonymous(&app.site), subject, &draft)
                .unwrap_or_else(IntoResponse::into_response)
        }
        Err(error @ (Error::PostTooLong | Error::Full)) => error.into_response(),
        Ok(_) | Err(_) => NotMember::LogIn.into_response(),
    }
}

async fn draft_in(app: &AppState, request: Request, of_member: bool) -> Result<(Draft, bool), Error> {
    let LargeForm { form, is_oversize, .. } = LargeForm::read(app, request, of_member).await?;
    Draft::from_form(form).map(|draft| (draft, is_oversize)).map_err(Error::Form)
}

async fn store_draft(app: &AppState, user: &User, subject: Subject, draft: &Draft) -> Result<(), Error> {
    let (database, title, body) = (&app.database, draft.title.as_str(), draft.body.as_str());
    let _writing = app.page_cache.write(subject.id());
    match subject {
        Subject::New => posts::insert(database, user.id, title, body).await.map_err(Error::Store),
        Subject::Existing(id) => {
            let changed = posts::update(database, id, user.id, title, body).await.map_err(Error::Store)?;
            // Another window may have deleted it meanwhile.
            if changed { Ok(()) } else { Err(Error::NoSuchPost(id)) }
        }
    }
}

/// Renders the form for a post.
pub fn form(page: Page, subject: Subject, title: Option<String>, draft: Draft) -> Result<Response, Error> {
    match subject {
        Subject::New => html(&CreatePage { page, draft }),
        Subject::Existing(id) => {
            let title = title.unwrap_or_else(|| draft.title.clone());
            html(&UpdatePage { page, id, title, draft })
        }
    }
}

/// Renders the form again with the typed text while the database is unavailable.
fn unavailable_editor(page: Page, subject: Subject, draft: Draft, error: &Error) -> Result<Response, Error> {
    let message = "The blog can't reach its database at the moment, so this may not be saved yet. \
                   What you wrote is still here: please press Save again in a few seconds.";
    let form = form(page.flash(message.to_owned()), subject, None, draft)?;
    Ok(unavailable_with_form(form, error))
}

async fn delete_post(
    State(app): State<Arc<AppState>>,
    Member { user, .. }: Member,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let Post { id, .. } = own_post(&app, &user, number(&id)?).await?;
    let writing = app.page_cache.write(Some(id));
    let deleted = posts::delete(&app.database, id, user.id).await.map_err(Error::Store)?;
    drop(writing);
    if deleted { Ok(written()) } else { Err(Error::NoSuchPost(id)) }
}

/// Redirects to the listing, which shows the change at once.
///
/// This replica has invalidated its cache. At other replicas the browser's cookie reports the recent write.
fn written() -> Response {
    let mut response = redirect("/");
    response.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_static(SET_WROTE_COOKIE));
    response
}

/// The current title of the user's post, if the subject is one.
pub async fn own_post_of(app: &AppState, user: &User, subject: Subject) -> Result<Option<String>, Error> {
    match subject {
        Subject::New => Ok(None),
        Subject::Existing(id) => own_post(app, user, id).await.map(|post| Some(post.title)),
    }
}

/// Finds the post, if it exists and belongs to the user.
async fn own_post(app: &AppState, user: &User, id: i64) -> Result<Post, Error> {
    let post = posts::find(&app.database, id).await.map_err(Error::Store)?.ok_or(Error::NoSuchPost(id))?;
    if post.author_id != user.id {
        return Err(Error::Forbidden);
    }
    Ok(post)
}
