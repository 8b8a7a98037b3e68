//! The blog by a host name, through a real Traefik (`dev/traefik.sh`).

use std::net::{IpAddr, SocketAddr};

use e2e::{
    browser::{Browser, unique},
    kubectl_apply, node_address, shell,
};
use reqwest::{
    Certificate, ClientBuilder, StatusCode,
    header::{HeaderMap, HeaderValue, ORIGIN, SET_COOKIE},
};
use serde_json::json;

use crate::{
    day_two::on,
    test_blog::TestBlog,
    user::{User, Visitors, client},
};

const HOST: &str = "blog.example.org";
const HTTP: &str = "http://blog.example.org";
const HTTPS: &str = "https://blog.example.org";
const SECRET: &str = "blog-tls";

/// A new certificate for the host, which goes into the cluster as a Secret; the certificate itself is printed.
const MAKE_CERTIFICATE: &str = r#"set -e; d=$(mktemp -d); trap 'rm -rf "$d"' EXIT
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$HOST" -addext "subjectAltName=DNS:$HOST" \
  -addext basicConstraints=critical,CA:FALSE -keyout "$d/tls.key" -out "$d/tls.crt" 2>/dev/null
kubectl create secret tls "$SECRET" --cert "$d/tls.crt" --key "$d/tls.key" --dry-run=client -o yaml |
  kubectl --context kind-flaskblog apply -n default -f - >&2
cat "$d/tls.crt""#;

/// The address of Traefik, and the one certificate that its clients trust.
#[derive(Clone)]
struct Door {
    address: IpAddr,
    certificate: Certificate,
}

impl Door {
    fn new() -> Self {
        let made = shell(&format!("HOST={HOST} SECRET={SECRET}; {MAKE_CERTIFICATE}"));
        assert!(made.status.success(), "{made:?}");
        Self {
            address: node_address("flaskblog-control-plane").parse().unwrap(),
            certificate: Certificate::from_pem(&made.stdout).unwrap(),
        }
    }

    /// A client that finds any host there, as by DNS. The ports are those of the requested addresses.
    fn client(&self) -> ClientBuilder {
        let address = SocketAddr::new(self.address, 0);
        client()
            .resolve(HOST, address)
            .resolve("other.example.org", address)
            .tls_certs_only([self.certificate.clone()])
    }

    fn user(&self, base: &str) -> User {
        User::with_client(self.client(), base)
    }

    /// A user whose forms come from a page of that origin, by the header of browsers.
    fn user_from(&self, origin: &'static str, base: &str) -> User {
        let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
        User::with_client(self.client().default_headers(headers), base)
    }

    async fn status_of(&self, url: &str) -> Result<StatusCode, String> {
        let answer = self.client().build().unwrap().get(url).send().await;
        answer.map(|answer| answer.status()).map_err(|error| format!("{error:?}"))
    }
}

/// The sample blog with its host name, which one blog can have at a time. The Ingress and the Secret go with this value.
struct Exposed {
    blog: TestBlog,
    door: Door,
}

impl Exposed {
    fn acquire() -> Self {
        let blog = TestBlog::acquire_default();
        Self { blog, door: Door::new() }
    }

    fn acquire_by_ingress() -> Self {
        let exposed = Self::acquire();
        exposed
            .blog
            .patch_spec(&json!({"ingress": {"host": HOST, "className": "traefik", "tlsSecretName": SECRET}}));
        exposed.blog.wait_ready();
        // They don't know the blog's address, and serve while Traefik may still send them requests.
        exposed.old_replicas_have_ended();
        exposed.until("the blog answers by its name", HTTPS, StatusCode::OK);
        exposed
    }

    /// Traefik receives changes by a watch, a moment later than the operator.
    fn until(&self, what: &str, url: &str, wanted: StatusCode) {
        self.blog.eventually(what, || {
            let status = on(self.door.status_of(url));
            (status == Ok(wanted)).then_some(())
        });
    }

    fn ended(mut self) {
        self.blog.put_back();
        let _ = self.blog.kubectl(&["delete", "secret", SECRET]);
    }

    fn old_replicas_have_ended(&self) {
        let pods = || self.blog.pods("app").len();
        self.blog.eventually("the old replicas have ended", || (pods() == 2).then_some(()));
    }
}

#[test]
fn blog_with_a_host_name_answers_over_http_and_https() {
    let exposed = Exposed::acquire_by_ingress();
    for base in [HTTP, HTTPS] {
        assert!(on(exposed.door.user(base).index()).contains("Flaskr"), "{base}");
    }
    let url = || exposed.blog.read()["status"]["url"].clone();
    assert_eq!(url(), HTTPS);
    assert_eq!(on(exposed.door.status_of("http://other.example.org")), Ok(StatusCode::NOT_FOUND));
    assert!(
        on(User::at(&exposed.blog.url).index()).contains("Flaskr"),
        "the node port leads there as before"
    );
    exposed.blog.patch_spec(&json!({"ingress": null}));
    exposed.until("nothing answers by that name", HTTP, StatusCode::NOT_FOUND);
    assert!(exposed.blog.object("ingress", "blog").is_none());
    exposed.blog.eventually("the URL is the node port's", || (url() == e2e::URL).then_some(()));
    exposed.ended();
}

#[test]
fn browser_behind_a_tls_proxy_registers_logs_in_and_writes() {
    let exposed = Exposed::acquire_by_ingress();
    let rules = format!("--host-resolver-rules=MAP {HOST} {}", exposed.door.address);
    let title = unique("By name");
    on(async {
        // Its own store of certificates doesn't have the one that was made here.
        let browser = Browser::open(HTTPS, 1200, 900, &[&rules, "--ignore-certificate-errors"]).await;
        let name = unique("tls");
        browser.go("/auth/register").await;
        for button in ["Register", "Log In"] {
            browser.fill("Username", &name).await;
            browser.fill("Password", "correct horse").await;
            browser.press(button).await;
        }
        browser.follow("New").await;
        browser.fill("Title", &title).await;
        browser.fill("Body", "text").await;
        browser.press("Save").await;
        assert!(browser.text().await.contains(&title));
        assert!(browser.page.get_named_cookie("session").await.unwrap().secure().unwrap_or(false));
        browser.press("Log Out").await;
        assert!(browser.text().await.contains("Log In"), "still logged in");
        browser.close().await;
    });
    assert!(
        on(User::at(&exposed.blog.url).index()).contains(&title),
        "at the node port the post isn't there"
    );
    exposed.ended();
}

/// The cookie follows the scheme of the request, and the accepted origin of forms follows its host.
#[test]
fn cookies_and_forms_behind_a_proxy_follow_scheme_and_host() {
    let exposed = Exposed::acquire_by_ingress();
    let credentials = |name: &str| [("username", name.to_owned()), ("password", "a pass phrase".to_owned())];
    for (base, is_secure) in [(HTTPS, true), (HTTP, false)] {
        let user = exposed.door.user_from(base, base);
        on(user.register());
        let fields = credentials(&user.name);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = on(user.form("/auth/login", &fields));
        let cookies: Vec<&str> =
            answer.headers().get_all(SET_COOKIE).iter().map(|one| one.to_str().unwrap()).collect();
        let session = cookies.iter().find(|one| one.starts_with("session=")).unwrap();
        assert_eq!(session.contains("; Secure"), is_secure, "{base}: {session}");
        let foreign = exposed.door.user_from("https://evil.example.org", base);
        let refused = on(foreign.form("/auth/login", &fields));
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{base}");
    }
    exposed.ended();
}

#[test]
fn rollout_behind_an_ingress_controller_fails_no_request() {
    let exposed = Exposed::acquire_by_ingress();
    let author = exposed.door.user(HTTPS);
    on(author.register());
    let readers = Visitors::readers_with_client(4, HTTPS, || exposed.door.client());
    let writer = Visitors::writer(author);
    for title in ["Renamed", "Flaskr"] {
        exposed.blog.patch_spec(&json!({"title": title}));
        exposed.blog.wait_ready();
        exposed.old_replicas_have_ended();
        exposed.until("the blog answers", HTTPS, StatusCode::OK);
    }
    assert!(writer.noticed_nothing() > 20);
    assert!(readers.noticed_nothing() > 100);
    exposed.ended();
}

/// No field of ours: the owner of a Gateway writes a route to the Service.
const ROUTE: &str = "
{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: traefik},
 spec: {controllerName: traefik.io/gateway-controller}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: front},
 spec: {gatewayClassName: traefik, listeners: [{name: http, protocol: HTTP, port: 8000}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: blog},
 spec: {parentRefs: [{name: front}], hostnames: [blog.example.org],
        rules: [{backendRefs: [{name: blog, port: 5000}]}]}}
";

#[test]
fn a_route_of_the_gateway_api_leads_to_the_blog_as_well() {
    let exposed = Exposed::acquire();
    let (applied, text) = kubectl_apply(&exposed.blog.namespace, ROUTE);
    assert!(applied, "{text}");
    exposed.until("the route leads to the blog", HTTP, StatusCode::OK);
    let author = exposed.door.user_from(HTTP, HTTP);
    on(author.register());
    on(author.write("By a route"));
    assert!(on(author.index()).contains("By a route"));
    let _ = exposed.blog.kubectl(&["delete", "httproute/blog", "gateway/front", "gatewayclass/traefik"]);
    exposed.until("the route has gone", HTTP, StatusCode::NOT_FOUND);
    exposed.ended();
}
