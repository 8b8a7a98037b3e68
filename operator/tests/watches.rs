//! The operator's watches against an API server that answers some of them badly.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

use std::{io, sync::Arc, time::Duration};

use futures::{FutureExt, future};
use http::{Request, Response, StatusCode};
use kube::{Client, client::Body};
use operator::{
    config::Settings,
    context::Context,
    controller::{self, stop_on},
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

/// A new connection, whose handshake takes a few round trips, and which the server closes if the client falls silent.
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

/// One delay for all watches would leave the others' connections unattended until the server closes them, and each
/// closed one would lengthen the delay: after a restart of the API server the operator was deaf for five minutes.
#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_again_and_again_does_not_hold_up_the_others() {
    let listed = Arc::new(Notify::new());
    let seen = Arc::clone(&listed);
    let client = Client::new(service_fn(move |request| serve(request, Arc::clone(&seen))), "default");
    let settings = Settings {
        blog_image: "flaskblog/blog-app:release".into(),
        node_address: "localhost".into(),
        resync: Duration::from_secs(600),
    };
    let context = Arc::new(Context::new(client.clone(), "test", settings));
    let running = controller::run(client, context, &[], 2, stop_on(future::pending())).fuse();
    let blogs_are_listed = timeout(Duration::from_secs(120), listed.notified());
    tokio::select! {
        () = running => panic!("the controller ended"),
        outcome = blogs_are_listed => assert!(outcome.is_ok(), "the blogs weren't listed within two minutes"),
    }
}
