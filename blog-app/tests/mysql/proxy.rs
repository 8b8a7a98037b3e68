//! A way to the server that can be cut and mended.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::backend::root_url;

/// What happens to connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// They end, and new ones end at once.
    Cut,
    /// They stay, and nothing comes through.
    Stuck,
}

pub struct Proxy {
    pub port: u16,
    state: watch::Sender<State>,
}

impl Proxy {
    pub async fn start() -> Self {
        Self::start_as(State::Open).await
    }

    pub async fn start_cut() -> Self {
        Self::start_as(State::Cut).await
    }

    async fn start_as(initial: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, watched) = watch::channel(initial);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, watched.clone()));
            }
        });
        Self { port, state }
    }

    /// The same account and database, by this way.
    pub fn url(&self, url: &str) -> String {
        url.replacen(&server_address(), &format!("127.0.0.1:{}", self.port), 1)
    }

    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    pub fn stick(&self) {
        self.state.send_replace(State::Stuck);
    }

    pub fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn forward(mut client: TcpStream, mut state: watch::Receiver<State>) {
    if *state.borrow() == State::Cut {
        return;
    }
    let mut server = TcpStream::connect(server_address()).await.unwrap();
    let stuck = tokio::select! {
        biased;
        changed = state.wait_for(|state| *state != State::Open) => {
            changed.is_ok_and(|state| *state == State::Stuck)
        }
        _ = copy_bidirectional(&mut client, &mut server) => false,
    };
    if stuck {
        // Both ends stay open until the way is mended, then they end: what was under way is lost.
        let _ = state.wait_for(|state| *state != State::Stuck).await;
    }
}

fn server_address() -> String {
    root_url().rsplit('@').next().unwrap().to_owned()
}
