//! The operator's watches against an API server with faulty responses.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future};
use http::{Request, Response, StatusCode};
use kube::{Client, client::Body};
use operator::{
    context::Context,
    controller::{
        self,
        http_server::{self, Waiting},
        scheduler::stop_on,
    },
    model::settings::Settings,
};
use serde_json::json;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tower::service_fn;

const BLOGS: &str = "/apis/flaskblog.dev/v1alpha1/flaskblogs";
const BUDGETS: &str = "/apis/policy/v1/poddisruptionbudgets";

fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    Response::builder().status(status).body(Body::from(serde_json::to_vec(body).unwrap())).unwrap()
}

fn test_context(client: &Client) -> Arc<Context> {
    let settings = Settings {
        blog_image: "flaskblog/blog-app:release".into(),
        node_address: "localhost".into(),
        resync: Duration::from_secs(600),
        runbooks: String::new(),
    };
    Arc::new(Context::new(client.clone(), "test", settings))
}

/// A new connection with a handshake of a few round trips. The server closes it if the client is silent.
async fn handshake() -> io::Result<()> {
    for _round_trip in 0..8 {
        let asked = Instant::now();
        sleep(Duration::from_secs(1)).await;
        if asked.elapsed() > Duration::from_secs(5) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"));
        }
    }
    Ok(())
}

async fn serve(request: Request<Body>, blogs_listed: Arc<Notify>) -> io::Result<Response<Body>> {
    let uri = request.uri();
    if uri.query().is_some_and(|query| query.contains("watch=true")) {
        future::pending::<()>().await;
    }
    match uri.path() {
        BUDGETS => {
            let failure = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500, "reason": "",
                "message": "refused by the test"});
            return Ok(answer(StatusCode::INTERNAL_SERVER_ERROR, &failure));
        }
        BLOGS => {
            handshake().await?;
            blogs_listed.notify_one();
        }
        _ => {}
    }
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
    Ok(answer(StatusCode::OK, &list))
}

/// A common delay would leave other connections unattended.
///
/// The server then closes them, and each closed one would lengthen the delay. After a restart of the API server, the operator
/// missed events for five minutes.
#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_again_and_again_does_not_hold_up_the_others() {
    let listed = Arc::new(Notify::new());
    let seen = Arc::clone(&listed);
    let client = Client::new(service_fn(move |request| serve(request, Arc::clone(&seen))), "default");
    let context = test_context(&client);
    let running = controller::run(client, context, &[], 2, stop_on(future::pending())).fuse();
    let blogs_are_listed = timeout(Duration::from_secs(120), listed.notified());
    tokio::select! {
        () = running => panic!("the controller ended"),
        outcome = blogs_are_listed => assert!(outcome.is_ok(), "the blogs weren't listed within two minutes"),
    }
}

fn failure(code: StatusCode) -> Response<Body> {
    let reason = if code == StatusCode::FORBIDDEN { "Forbidden" } else { "NotFound" };
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": "refused by the test"});
    answer(code, &body)
}

async fn ready(context: &Arc<Context>, waiting: &Arc<Waiting>) -> (StatusCode, String) {
    let request = Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
    let router = http_server::router(Arc::clone(context), Arc::clone(waiting));
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Fault cases 11 and 13: `/readyz` lists what the operator waits for.
///
/// A CRD is missing, and then a permission.
#[tokio::test(start_paused = true)]
async fn what_the_operator_waits_for_before_it_can_watch_is_listed() {
    let answers = Arc::new(Mutex::new(vec![StatusCode::FORBIDDEN, StatusCode::NOT_FOUND]));
    let client = Client::new(
        service_fn(move |_: Request<Body>| {
            let next = answers.lock().unwrap().pop();
            async move {
                let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []});
                sleep(Duration::from_millis(100)).await;
                Ok::<_, io::Error>(next.map_or_else(|| answer(StatusCode::OK, &list), failure))
            }
        }),
        "default",
    );
    let (context, waiting) = (test_context(&client), Arc::new(Waiting::on(&[controller::CRD])));
    let done = tokio::spawn({
        let waiting = Arc::clone(&waiting);
        async move { controller::wait_for_crd(&client, &[], &waiting).await }
    });
    sleep(Duration::from_millis(150)).await;
    let (status, text) = ready(&context, &waiting).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("the CustomResourceDefinition") && !text.contains("the right"), "{text}");
    sleep(Duration::from_millis(450)).await;
    let (_, text) = ready(&context, &waiting).await;
    assert!(text.contains("the right to list flaskblogs"), "{text}");
    done.await.unwrap();
    assert_eq!(ready(&context, &waiting).await, (StatusCode::OK, "ok\n".to_owned()));
}

/// Fault case 13: readiness fails without permission to watch a kind.
#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_again_and_again_is_listed_and_counted() {
    let client = Client::new(service_fn(move |request| serve(request, Arc::default())), "default");
    let (context, waiting) = (test_context(&client), Arc::new(Waiting::on(&[])));
    let running = controller::run(client, Arc::clone(&context), &[], 2, stop_on(future::pending())).fuse();
    tokio::select! {
        () = running => panic!("the controller ended"),
        () = sleep(Duration::from_secs(20)) => {}
    }
    let (status, text) = ready(&context, &waiting).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        text.contains("the watch of PodDisruptionBudget, which fails: ") && !text.contains("Secret"),
        "{text}"
    );
    let metrics = context.metrics.text();
    assert!(metrics.contains("watch_errors_total{kind=\"PodDisruptionBudget\"}"), "{metrics}");
}

/// Serves a cluster in which the optional kinds are installed and removed.
async fn serve_coming_and_going(request: Request<Body>, cluster: Arc<Cluster>) -> io::Result<Response<Body>> {
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default());
    let there = cluster.there.load(Ordering::Relaxed);
    let group = GROUPS.into_iter().find(|(group, _)| path.starts_with(group));
    if let Some((group, kinds)) = group.filter(|(group, _)| path == *group) {
        let resource = |kind: &&str| {
            let name = format!("{}s", kind.to_lowercase());
            json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["list"]})
        };
        let resources: Vec<_> = kinds.iter().map(resource).collect();
        let list = json!({"groupVersion": group.trim_start_matches("/apis/"), "resources": resources});
        return Ok(if there { answer(StatusCode::OK, &list) } else { no_such_path() });
    }
    if group.is_some() {
        cluster.asked.fetch_add(1, Ordering::Relaxed);
        if !there {
            return Ok(no_such_path());
        }
    }
    if query.contains("watch=true") {
        // A watch ends after a minute, and with its kind.
        for _ in 0..60 {
            sleep(Duration::from_secs(1)).await;
            if group.is_some() && !cluster.there.load(Ordering::Relaxed) {
                break;
            }
        }
        return Ok(Response::new(Body::from(Vec::new())));
    }
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
    Ok(answer(StatusCode::OK, &list))
}

/// The API server's response, which has no machine-readable reason.
fn no_such_path() -> Response<Body> {
    let text = b"404 page not found\n".to_vec();
    Response::builder().status(StatusCode::NOT_FOUND).body(Body::from(text)).unwrap()
}

/// The API groups of the optional kinds.
const GROUPS: [(&str, &[&str]); 2] = [
    ("/apis/monitoring.coreos.com/v1", &["PodMonitor", "PrometheusRule"]),
    ("/apis/autoscaling.k8s.io/v1", &["VerticalPodAutoscaler"]),
];

#[derive(Default)]
struct Cluster {
    there: AtomicBool,
    asked: AtomicUsize,
}

/// Optional kinds are watched once served. A missing one isn't a failure.
#[tokio::test(start_paused = true)]
async fn kinds_that_are_missing_come_and_go_are_watched_while_they_are_there() {
    let cluster = Arc::new(Cluster::default());
    let of = Arc::clone(&cluster);
    let client =
        Client::new(service_fn(move |request| serve_coming_and_going(request, Arc::clone(&of))), "default");
    let (context, waiting) = (test_context(&client), Arc::new(Waiting::on(&[])));
    let (ctx, served) = (Arc::clone(&context), Arc::clone(&cluster));
    let story = async move {
        let asked = || served.asked.swap(0, Ordering::Relaxed);
        sleep(Duration::from_secs(300)).await;
        assert_eq!(asked(), 0, "a kind that isn't served was listed or watched");
        assert_eq!(ctx.discovery.missing().len(), 3);
        served.there.store(true, Ordering::Relaxed);
        sleep(Duration::from_secs(60)).await;
        assert!(asked() >= 6, "all three kinds are listed and watched");
        assert!(ctx.discovery.missing().is_empty());
        served.there.store(false, Ordering::Relaxed);
        sleep(Duration::from_secs(90)).await;
        assert_eq!(ctx.discovery.missing().len(), 3, "their end was noticed");
        asked();
        sleep(Duration::from_secs(300)).await;
        assert_eq!(asked(), 0, "and nobody asks for them any more");
        served.there.store(true, Ordering::Relaxed);
        sleep(Duration::from_secs(60)).await;
        assert!(asked() >= 6, "they came back");
        assert_eq!(ready(&ctx, &waiting).await, (StatusCode::OK, "ok\n".to_owned()));
        assert!(!ctx.metrics.text().contains("watch_errors_total{kind=\"P"), "{}", ctx.metrics.text());
    };
    tokio::select! {
        () = controller::run(client, context, &[], 2, stop_on(future::pending())) => panic!("the controller ended"),
        () = story => {}
    }
}

/// Serves two FlaskBlogs, one of them unparsable, and records the writes.
async fn serve_two_blogs(
    request: Request<Body>,
    writes: Arc<Mutex<Vec<(String, String)>>>,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    if parts.uri.query().is_some_and(|query| query.contains("watch=true")) {
        future::pending::<()>().await;
    }
    let path = parts.uri.path().to_owned();
    if parts.method != http::Method::GET {
        let body = String::from_utf8(body.collect_bytes().await.unwrap().to_vec()).unwrap();
        writes.lock().unwrap().push((format!("{} {path}", parts.method), body.clone()));
        let mut object: serde_json::Value = serde_json::from_str(&body).unwrap();
        object["metadata"]["resourceVersion"] = json!("7");
        if path.contains("/flaskblogs/") {
            object = blog("weekly", "Open");
        }
        return Ok(answer(StatusCode::OK, &object));
    }
    if path == BLOGS {
        let items = json!([blog("newer", "Invite"), blog("weekly", "Open")]);
        let list =
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
        return Ok(answer(StatusCode::OK, &list));
    }
    if path.contains("/namespaces/press/") && !path.ends_with("/pods") {
        return Ok(failure(StatusCode::NOT_FOUND));
    }
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
    Ok(answer(StatusCode::OK, &list))
}

fn blog(name: &str, registration: &str) -> serde_json::Value {
    json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "spec": {"registration": registration},
        "metadata": {"name": name, "namespace": "press", "uid": name, "resourceVersion": "1", "generation": 1}})
}

#[tokio::test(start_paused = true)]
async fn an_unparsable_blog_is_reported_and_stops_no_other() {
    let writes = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&writes);
    let client =
        Client::new(service_fn(move |request| serve_two_blogs(request, Arc::clone(&noted))), "default");
    let context = test_context(&client);
    let running = controller::run(client, Arc::clone(&context), &[], 2, stop_on(future::pending())).fuse();
    tokio::select! {
        () = running => panic!("the controller ended"),
        () = sleep(Duration::from_secs(20)) => {}
    }
    let writes = writes.lock().unwrap();
    let all = |what: &str| writes.iter().filter(|(line, _)| line.contains(what)).collect::<Vec<_>>();
    assert!(!all("deployments/weekly").is_empty(), "{writes:#?}");
    assert!(all("deployments/newer").is_empty(), "{writes:#?}");
    let [(_, status)] = all("flaskblogs/newer/status")[..] else { panic!("{writes:#?}") };
    assert!(status.contains("InvalidSpec") && status.contains("spec.registration"), "{status}");
    let told = all("/events").into_iter().any(|(_, event)| event.contains("InvalidSpec"));
    assert!(told, "{writes:#?}");
    assert!(context.metrics.text().contains("blog_ready{namespace=\"press\",name=\"newer\"} 0"));
}

/// Serves lists. Each watch of FlaskBlogs fails with this status until they are listed again.
async fn serve_expired(
    request: Request<Body>,
    code: StatusCode,
    lists: Arc<AtomicUsize>,
) -> io::Result<Response<Body>> {
    let uri = request.uri();
    if uri.query().is_some_and(|query| query.contains("watch=true")) {
        if uri.path() == BLOGS && lists.load(Ordering::Relaxed) == 1 {
            return Ok(failure(code));
        }
        future::pending::<()>().await;
    }
    if uri.path() == BLOGS {
        lists.fetch_add(1, Ordering::Relaxed);
    }
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
    Ok(answer(StatusCode::OK, &list))
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_the_server_refuses_lists_again() {
    let soon = Duration::from_secs(10);
    let later = Duration::from_secs(120);
    let too_large = StatusCode::GATEWAY_TIMEOUT;
    for (code, limit) in [(StatusCode::GONE, soon), (StatusCode::BAD_REQUEST, soon), (too_large, later)] {
        let lists = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lists);
        let client = Client::new(
            service_fn(move |request| serve_expired(request, code, Arc::clone(&counted))),
            "default",
        );
        let context = test_context(&client);
        tokio::select! {
            () = controller::run(client, context, &[], 2, stop_on(future::pending())) => panic!("the controller ended"),
            () = sleep(limit) => {}
        }
        assert_eq!(lists.load(Ordering::Relaxed), 2, "{code}");
    }
}

/// Serves lists, but refuses every watch of FlaskBlogs.
async fn serve_without_watches(request: Request<Body>) -> io::Result<Response<Body>> {
    let uri = request.uri();
    if uri.query().is_some_and(|query| query.contains("watch=true")) {
        if uri.path() == BLOGS {
            return Ok(failure(StatusCode::FORBIDDEN));
        }
        future::pending::<()>().await;
    }
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
    Ok(answer(StatusCode::OK, &list))
}

#[tokio::test(start_paused = true)]
async fn blogs_that_cannot_be_watched_end_the_lead_in_minutes() {
    let client = Client::new(service_fn(serve_without_watches), "default");
    let context = test_context(&client);
    let watches = Arc::clone(&context);
    let begun = Instant::now();
    let words = tokio::select! {
        () = controller::run(client, context, &[], 2, stop_on(future::pending())) => panic!("the controller ended"),
        words = watches.watch_failures.blogs_unwatched() => words,
        () = sleep(Duration::from_secs(900)) => panic!("it leads on"),
    };
    assert!(words.contains("the watch of FlaskBlog has failed for"), "{words}");
    let time = begun.elapsed().as_secs();
    assert!((300..400).contains(&time), "{time} s");
}
