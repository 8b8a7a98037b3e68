use std::io::Write;

use sqlx::mysql::MySqlSslMode;

use super::*;

const ANOTHER_CA: &[u8] = include_bytes!("../../tests/mysql/another-ca.pem");

fn nothing(_: &str) -> Option<String> {
    None
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn resolve(args: &DatabaseArgs) -> Result<Target, Error> {
    DatabaseConfig::resolve(args, &nothing).map(|config| config.target)
}

fn url(url: &str) -> Result<Target, Error> {
    resolve(&DatabaseArgs { database_url: text(url), ..DatabaseArgs::default() })
}

fn mysql(target: Target) -> MySqlConnectOptions {
    match target {
        Target::MySql(Redacted(options)) => *options,
        Target::Sqlite(file) => panic!("expected MySQL and not {}", file.display()),
    }
}

fn sqlite(target: Target) -> PathBuf {
    match target {
        Target::Sqlite(file) => file,
        Target::MySql(_) => panic!("expected SQLite"),
    }
}

fn password_file(password: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(password.as_bytes()).unwrap();
    file
}

#[test]
fn with_no_settings_the_blog_is_in_a_file_here() {
    assert_eq!(sqlite(resolve(&DatabaseArgs::default()).unwrap()), Path::new("flaskr.sqlite"));
}

#[test]
fn empty_settings_count_as_none() {
    let args = DatabaseArgs {
        database_url: text(""),
        database_host: text(""),
        database_password_file: Some(PathBuf::new()),
        ..DatabaseArgs::default()
    };
    assert_eq!(sqlite(resolve(&args).unwrap()), Path::new("flaskr.sqlite"));
}

#[test]
fn urls_name_either_database() {
    assert_eq!(sqlite(url("sqlite:/data/blog.sqlite").unwrap()), Path::new("/data/blog.sqlite"));
    assert_eq!(sqlite(url("sqlite://blog.sqlite?mode=rwc").unwrap()), Path::new("blog.sqlite"));
    let options = mysql(url("mysql://blog:p%40ss@db.example.org:3307/flaskr").unwrap());
    assert_eq!((options.get_host(), options.get_port()), ("db.example.org", 3307));
    assert_eq!(options.get_database(), Some("flaskr"));
}

#[test]
fn a_wrong_url_is_refused_without_being_quoted() {
    for wrong in ["postgres://a:s3cret@b/c", "mysql://a:s3cret@:x/c", "mysql://a:s3cret@b", "s3cret"] {
        let message = url(wrong).unwrap_err().to_string();
        assert!(message.contains("must look like") && !message.contains("s3cret"), "{message}");
    }
    assert!(matches!(url("sqlite::memory:"), Err(Error::InMemory)));
}

#[test]
fn parts_make_a_mysql_account_whose_password_comes_from_a_file() {
    let file = password_file("s3cret\n");
    let args = DatabaseArgs {
        database_host: text("db"),
        database_name: text("flaskr"),
        database_user: text("blog"),
        database_password_file: Some(file.path().to_owned()),
        ..DatabaseArgs::default()
    };
    let options = mysql(resolve(&args).unwrap());
    assert_eq!((options.get_host(), options.get_port(), options.get_username()), ("db", 3306, "blog"));
    assert!(format!("{options:?}").contains("\"s3cret\""), "the line break belongs to the file");
}

#[test]
fn each_missing_part_is_named() {
    let args = DatabaseArgs { database_host: text("db"), ..DatabaseArgs::default() };
    let message = resolve(&args).unwrap_err().to_string();
    assert_eq!(
        message,
        "BLOG_DATABASE_HOST is set but BLOG_DATABASE_NAME is not: set both, or none for a blog on SQLite"
    );
    let args = DatabaseArgs { database_port: text("1"), ..DatabaseArgs::default() };
    assert!(resolve(&args).unwrap_err().to_string().contains("BLOG_DATABASE_HOST is not"));
}

#[test]
fn a_url_and_parts_contradict_each_other() {
    let args = DatabaseArgs {
        database_url: text("sqlite:x"),
        database_user: text("blog"),
        ..DatabaseArgs::default()
    };
    assert!(matches!(resolve(&args), Err(Error::Both("BLOG_DATABASE_USER"))));
}

fn original(name: &str) -> Option<String> {
    let value = match name {
        "MYSQL_HOSTNAME" => "mysql-flaskr",
        "MYSQL_PORT" => "3310",
        "MYSQL_DB_NAME" => "flaskr",
        "MYSQL_FLASK_USER" => "flask",
        "MYSQL_FLASK_PASSWORD" => "pw",
        _ => return None,
    };
    text(value)
}

#[test]
fn the_originals_variables_are_understood() {
    let config = DatabaseConfig::resolve(&DatabaseArgs::default(), &original).unwrap();
    let options = mysql(config.target);
    assert_eq!((options.get_host(), options.get_port()), ("mysql-flaskr", 3310));
}

#[test]
fn our_own_settings_win_over_the_originals() {
    let args = DatabaseArgs { database_url: text("sqlite:x"), ..DatabaseArgs::default() };
    let config = DatabaseConfig::resolve(&args, &original).unwrap();
    assert_eq!(sqlite(config.target), Path::new("x"));
}

#[test]
fn the_port_url_that_kubernetes_sets_for_a_service_is_not_a_port() {
    let env = |name: &str| match name {
        "MYSQL_PORT" => text("tcp://10.0.0.1:3306"),
        name => original(name),
    };
    let config = DatabaseConfig::resolve(&DatabaseArgs::default(), &env).unwrap();
    assert_eq!(mysql(config.target).get_port(), 3306);
    let only_the_service = |name: &str| env(name).filter(|_| name == "MYSQL_PORT");
    let config = DatabaseConfig::resolve(&DatabaseArgs::default(), &only_the_service).unwrap();
    assert_eq!(sqlite(config.target), Path::new("flaskr.sqlite"));
}

#[test]
fn the_originals_variables_must_be_complete() {
    let env = |name: &str| original(name).filter(|_| name != "MYSQL_FLASK_PASSWORD");
    let error = DatabaseConfig::resolve(&DatabaseArgs::default(), &env).unwrap_err();
    assert!(error.to_string().contains("MYSQL_FLASK_PASSWORD is not"), "{error}");
}

fn file_with(content: &[u8]) -> (tempfile::NamedTempFile, Option<PathBuf>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let path = file.path().to_owned();
    (file, Some(path))
}

fn tls(mode: &str, ca_file: Option<PathBuf>) -> Result<Target, Error> {
    let url = text("mysql://blog:pw@db.example.org/flaskr");
    let args = DatabaseArgs {
        database_url: url,
        database_tls: text(mode),
        database_ca_file: ca_file,
        ..DatabaseArgs::default()
    };
    resolve(&args)
}

#[test]
fn modes_of_tls_are_mysqls_own_however_they_are_spelled() {
    let (_file, ca) = file_with(ANOTHER_CA);
    for (spelled, meant, ca) in [
        ("", MySqlSslMode::Preferred, None),
        ("Disabled", MySqlSslMode::Disabled, None),
        ("preferred", MySqlSslMode::Preferred, None),
        ("REQUIRED", MySqlSslMode::Required, None),
        ("VerifyCa", MySqlSslMode::VerifyCa, ca.clone()),
        ("verify-ca", MySqlSslMode::VerifyCa, ca.clone()),
        ("VERIFY_CA", MySqlSslMode::VerifyCa, ca.clone()),
        ("VerifyIdentity", MySqlSslMode::VerifyIdentity, ca.clone()),
        ("verify-identity", MySqlSslMode::VerifyIdentity, ca.clone()),
    ] {
        let mode = mysql(tls(spelled, ca).unwrap()).get_ssl_mode();
        assert_eq!(format!("{mode:?}"), format!("{meant:?}"), "{spelled}");
    }
    assert!(matches!(tls("always", None), Err(Error::TlsMode)));
}

#[test]
fn every_certificate_of_a_file_is_trusted_and_a_broken_one_is_refused_without_being_quoted() {
    let (_two, path) = file_with(&[ANOTHER_CA, ANOTHER_CA].concat());
    let options = mysql(tls("VerifyCa", path).unwrap());
    assert!(format!("{options:?}").contains("Inline"), "what was checked is what is used");
    let broken = [ANOTHER_CA, b"-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n"].concat();
    for content in [&broken[..], b"", b"c2VjcmV0", &ANOTHER_CA[..200]] {
        let (_file, path) = file_with(content);
        let message = tls("VerifyCa", path).unwrap_err().to_string();
        assert!(message.contains("in PEM form") && !message.contains("c2VjcmV0"), "{message}");
    }
    assert!(matches!(tls("VerifyCa", Some("/nowhere/ca".into())), Err(Error::Read { .. })));
}

#[test]
fn tls_that_would_protect_nothing_is_refused() {
    let (_file, ca) = file_with(ANOTHER_CA);
    assert!(matches!(tls("VerifyCa", None), Err(Error::NoCa)));
    for mode in ["", "Disabled", "Preferred", "Required"] {
        assert!(matches!(tls(mode, ca.clone()), Err(Error::CaUnused)), "{mode}");
    }
    let with_url = |url| DatabaseArgs {
        database_url: text(url),
        database_tls: text("Required"),
        ..DatabaseArgs::default()
    };
    assert!(matches!(resolve(&with_url("sqlite:x")), Err(Error::NoServer("BLOG_DATABASE_TLS"))));
    let twice = "mysql://blog:pw@db/flaskr?ssl-mode=DISABLED";
    assert!(matches!(resolve(&with_url(twice)), Err(Error::TlsTwice)));
}

#[test]
fn a_rotation_is_under_way_while_there_is_another_previous_password() {
    let (_new, new) = file_with(b"new\n");
    for (content, under_way) in [(&b"old\n"[..], true), (b"new", false), (b"", false)] {
        let (_previous, previous) = file_with(content);
        let args = DatabaseArgs {
            database_host: text("db"),
            database_name: text("flaskr"),
            database_user: text("blog"),
            database_password_file: new.clone(),
            database_previous_password_file: previous,
            ..DatabaseArgs::default()
        };
        let config = DatabaseConfig::resolve(&args, &nothing).unwrap();
        assert!(!format!("{config:?}").contains("old"), "{config:?}");
        let rotation = config.rotation;
        assert_eq!(rotation.is_some(), under_way, "{content:?}");
        if let Some(Rotation { new: Redacted(new), previous: Redacted(previous) }) = rotation {
            assert!(new == "new" && format!("{previous:?}").contains("\"old\""));
        }
        let args = DatabaseArgs { database_previous_password_file: Some("/nowhere/previous".into()), ..args };
        assert!(DatabaseConfig::resolve(&args, &nothing).unwrap().rotation.is_none());
    }
}

#[test]
fn a_password_is_not_in_the_debug_output_of_a_target() {
    let options = mysql_parts("db", 3306, "flaskr", "blog", "s3cret");
    let shown = format!("{:?}", Target::MySql(Redacted(Box::new(options))));
    assert!(!shown.contains("s3cret"), "{shown}");
}
