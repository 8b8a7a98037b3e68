//! The stages that need no cluster: Docker by script, and Compose.

use e2e::{browser::unique, free_port, shell, shell_blocks};

use crate::{
    schedule::{PORT_5000, Slot},
    user::User,
};

/// A deployment of a test's own, removed at its end whatever happens.
struct Deployment {
    name: String,
    port: u16,
    home: tempfile::TempDir,
    /// What removes all of it.
    end: String,
    _slot: Slot,
}

impl Deployment {
    fn acquire_by_script() -> Self {
        let slot = Slot::acquire();
        let (name, home) = (unique("e2e-docker"), tempfile::tempdir().unwrap());
        let end = format!("deploy/docker/deploy.sh --network {name} --prune --data");
        Self { name, port: free_port(), home, end, _slot: slot }
    }

    fn acquire_by_compose() -> Self {
        let slot = Slot::acquire();
        let (name, home) = (unique("e2e-compose"), tempfile::tempdir().unwrap());
        let end = format!("docker-compose --project-name {name} down --volumes --timeout 60");
        Self { name, port: free_port(), home, end, _slot: slot }
    }

    fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// A command line with a home directory that this deployment has for itself.
    fn at_home(&self, line: &str) -> String {
        let home = self.home.path().display();
        format!("export XDG_DATA_HOME={home} BLOG_PORT={} COMPOSE_ENV_FILES={home}/.env; {line}", self.port)
    }

    fn done(&self, line: &str) -> String {
        e2e::done(&self.at_home(line))
    }

    fn refused(&self, line: &str, code: i32) -> String {
        let result = shell(&self.at_home(line));
        assert_eq!(result.status.code(), Some(code), "{line}: {}", String::from_utf8_lossy(&result.stderr));
        String::from_utf8_lossy(&result.stderr).into_owned()
    }

    /// Whatever Docker has of it, one line each.
    fn remains(&self) -> Vec<String> {
        let name = &self.name;
        let all = self.done(&format!(
            "docker ps --all --format '{{{{.Names}}}}' --filter name={name}; docker volume ls --quiet --filter name={name}; \
             docker network ls --format '{{{{.Name}}}}' --filter name={name}"
        ));
        all.lines().map(str::to_owned).collect()
    }

    fn no_secret_shows(&self, secrets: &str, containers: &str) {
        let shown = self.done(&format!("docker inspect {containers}; ps -eo args"));
        let values = self.done(secrets);
        assert!(values.lines().count() >= 3, "{values}");
        for secret in values.lines().filter(|line| !line.is_empty()) {
            assert!(
                !shown.contains(secret),
                "a secret is in the settings of a container or on a command line"
            );
        }
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        let _ = shell(&self.at_home(&self.end));
    }
}

/// A registered user that has published a post of that title.
async fn author_of(title: &str, url: &str) -> User {
    let author = User::registered(url).await;
    author.write(title).await;
    assert!(author.index().await.contains(title));
    author
}

#[tokio::test]
async fn docker_by_script_makes_a_blog_keeps_its_data_and_cleans_up() {
    let here = Deployment::acquire_by_script();
    let (name, port) = (&here.name, here.port);
    let deploy = format!("deploy/docker/deploy.sh --network {name} --port {port}");
    let _ = here.done(&deploy);
    let author = author_of("Written by Docker", &here.url()).await;
    let secrets = format!("for file in $XDG_DATA_HOME/flaskblog/{name}/*; do cat $file; echo; done");
    here.no_secret_shows(&secrets, &format!("{name}-mysql {name}-blog"));
    // Again, as after an upgrade; and after everything but the data was removed.
    let _ = here.done(&deploy);
    author.log_in().await;
    let _ = here.done(&format!("deploy/docker/deploy.sh --network {name} --prune"));
    assert_eq!(here.remains(), [format!("{name}-mysql-data")]);
    let _ = here.done(&deploy);
    assert!(author.index().await.contains("Written by Docker"));
    let _ = here.done(&here.end);
    assert!(here.remains().is_empty(), "{:?}", here.remains());
}

#[test]
fn docker_script_refuses_argument_passwords_and_foreign_volumes() {
    let here = Deployment::acquire_by_script();
    let name = &here.name;
    let refusal = here.refused(&format!("deploy/docker/deploy.sh --network {name} --password secret"), 2);
    assert!(refusal.contains("--password-file"), "{refusal}");
    let _ = here.done(&format!("docker volume create {name}-mysql-data"));
    let refusal = here.refused(&format!("deploy/docker/deploy.sh --network {name}"), 1);
    assert!(refusal.contains("this deployment didn't make"), "{refusal}");
    let _ = here.done(&here.end);
    assert_eq!(here.remains(), [format!("{name}-mysql-data")], "the volume of another deployment is gone");
    let _ = here.done(&format!("docker volume rm {name}-mysql-data"));
}

#[tokio::test]
async fn compose_blog_restarts_after_a_failure_and_keeps_its_data() {
    let here = Deployment::acquire_by_compose();
    let compose = format!("docker-compose --project-name {}", here.name);
    let refusal =
        shell(&here.at_home(&format!("cp .env.example $XDG_DATA_HOME/.env; {compose} up --no-build --wait")));
    assert!(!refusal.status.success(), "a blog without passwords");
    // By the instructions in .env.example.
    let _ = here.done(
        "for name in MYSQL_ROOT_PASSWORD MYSQL_FLASK_PASSWORD FLASK_APP_SECRET_KEY; do \
         sed -i \"s/^$name=\\$/$name=$(head -c 32 /dev/urandom | sha256sum | cut -c1-64)/\" $XDG_DATA_HOME/.env; done",
    );
    let up = format!("{compose} up --no-build --wait --wait-timeout 300");
    let _ = here.done(&up);
    let author = author_of("Written by Compose", &here.url()).await;
    let secrets = "grep -E '^(MYSQL_ROOT_PASSWORD|MYSQL_FLASK_PASSWORD|FLASK_APP_SECRET_KEY)=' $XDG_DATA_HOME/.env | cut -d= -f2";
    here.no_secret_shows(secrets, &format!("$({compose} ps --quiet)"));
    let pid = format!("docker inspect --format '{{{{.State.Pid}}}}' $({compose} ps --quiet blog)");
    let before = here.done(&pid);
    let _ = here.done(&format!("kill -9 $({pid})"));
    e2e::eventually("the blog is back", "default", || {
        let now = here.done(&pid);
        (now != before && now.trim() != "0").then_some(())
    });
    let _ = here.done(&up);
    author.log_in().await;
    let _ = here.done(&format!("{compose} down --timeout 60 && {up}"));
    assert!(author.index().await.contains("Written by Compose"));
    let _ = here.done(&here.end);
    assert!(here.remains().is_empty(), "{:?}", here.remains());
}

#[test]
fn the_page_about_docker_works_as_it_stands() {
    let slot = Slot::acquire_with(PORT_5000);
    let here = Deployment {
        name: "flask-blog".into(),
        port: 5000,
        home: tempfile::tempdir().unwrap(),
        end: String::new(),
        _slot: slot,
    };
    // In a directory of its own, as the repository may have a .env.
    let place = "for it in compose.yaml .env.example deploy blog-app; do cp -r $it $XDG_DATA_HOME/; done; cd $XDG_DATA_HOME";
    let _ = here.done(place);
    let page = shell_blocks(include_str!("../../../docs/docker.md"))
        .concat()
        .replace("docker compose", "docker-compose");
    assert_eq!(page.matches("deploy.sh").count(), 3);
    let asked = "up --detach --wait\ncurl --silent --fail --output /dev/null http://localhost:5000/";
    let page = page.replace("up --detach --wait", asked);
    let _ = here.done(&format!("{place}; unset COMPOSE_ENV_FILES; set -e\n{page}"));
    assert!(here.remains().is_empty(), "{:?}", here.remains());
}
