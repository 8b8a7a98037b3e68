# shellcheck shell=bash
# Maintains in MySQL what only its administrator can set: root's own password, as in the Secret, and the certificate, after its
# file has changed. It also maintains the blog's account, with its password, its permissions and without a lock.
#
# It runs in MySQL's pod, since root can log in nowhere else. Files are compared without extra processes. MySQL is queried
# when one has changed, and every CHECK_SECONDS for the account's state, since other administrators change that without a
# file. No password is in an argument or in a log line: statements go through standard input, the client's password through a
# pipe. What fails is retried later: the script never ends by itself.
#
# The blog changes its own password in a rotation (`blog-app/src/store/mysql_account.rs`). So the account is valid while it
# accepts `password` or `previous-password`. Resetting its password retains the other one: these files may be older than those
# of the replicas, which may need it. An attribute of the account records that, and the other one is discarded later.
set -uf
shopt -s extglob

CREDENTIALS=/etc/mysql-credential-sync
CERTIFICATE=/etc/mysql-tls/tls.crt
# Interval of checks, and the delay after a failure unless a file changes.
LOOK_SECONDS=${LOOK_SECONDS:-5}
RETRY_SECONDS=${RETRY_SECONDS:-60}
# Interval of reading the account's state. Also how long its other password stays valid after a reset, until a kubelet has
# updated the Secret everywhere.
CHECK_SECONDS=${CHECK_SECONDS:-15}
RETAINED_SECONDS=${RETAINED_SECONDS:-900}
# Attribute of the account while its other password is retained.
MARK=password_set_back
# The last failure, for the readiness probe; missing while nothing fails. It is in memory: everything else is read-only.
FAILURE=${FAILURE:-/dev/shm/credential-sync-failure}

known=  # the password that MySQL took last
kept=   # what the files held when MySQL was as they want
failed= # what they held when something failed, and
retry=0 # when to try that again
loaded= # the certificate that MySQL has read
proved= # the account's state and passwords when it logged in last
check=0 # when to ask for the account again
words=  # what was logged last

report() {
  words=$*
  TZ=UTC printf '%(%FT%TZ)T credential-sync: %s\n' -1 "$words"
}

# Reads the file into the variable, without trailing line ends; empty if the file is missing.
read_file() { # VARIABLE FILE
  local content=
  if [[ -r $2 ]]; then IFS= read -rd '' content <"$2"; fi 2>/dev/null
  printf -v "$1" '%s' "${content%%+($'\n')}"
}

quoted() { # inside single quotes, where backslashes escape
  local text=${1//\\/\\\\}
  printf "'%s'" "${text//\'/\'\'}"
}

option() { # NAME VALUE; the same inside an option file's double quotes
  local value=${2//\\/\\\\}
  value=${value//$'\n'/\\n}
  printf '%s="%s"\n' "$1" "${value//\"/\\\"}"
}

option_file() { # USER PASSWORD
  printf '[client]\nconnect-timeout=5\n'
  option user "$1"
  option password "$2"
}

# Runs statements as root with that password. `answer` is MySQL's output, which may hold a part of the statement.
as_root() { # PASSWORD STATEMENTS
  answer=$(printf "SET SESSION sql_mode = '';\n%s\n" "$2" |
    timeout 20 mysql --defaults-file=<(option_file root "$1") --protocol=socket --socket=/var/run/mysqld/mysqld.sock \
      --batch --skip-column-names 2>&1)
}

# Logs in as the blog does: over TCP, encrypted.
as_account() { # PASSWORD
  answer=$(timeout 20 mysql --defaults-file=<(option_file "$username" "$1") --protocol=tcp --host=127.0.0.1 \
    --ssl-mode=REQUIRED --batch --execute 'DO 0' 2>&1)
}

# Whether MySQL refuses the account: wrong, expired or blocked, an unknown plugin, a missing client certificate.
# A server that is full, unavailable or without TLS proves nothing about the password.
is_refused() {
  [[ $answer =~ ERROR\ (1045|1251|1524|1698|1820|1862|3118|3159|3955)\  ]]
}

# Reports only the number of an error.
failed_to() { # WHAT
  local number='no answer'
  if [[ $answer =~ ERROR\ [0-9]+\ \([0-9A-Z]+\) ]]; then number=${BASH_REMATCH[0]}; fi
  report "failed to $1: $number"
  return 1
}

# Over TCP, on which the temporary server of the first initialization doesn't listen.
answers() { timeout 10 mysqladmin ping --protocol=tcp --host=127.0.0.1 --user=credential-sync --silent >/dev/null 2>&1; }

# Finds the password that MySQL accepts now.
log_in() {
  local password IFS=$'\n'
  # shellcheck disable=SC2086 # one a line
  for password in "$wanted" "$known" $earlier; do
    [[ -n $password ]] || continue
    if as_root "$password" 'DO 0;'; then
      known=$password
      return
    fi
    [[ $answer == *'ERROR 1045 '* ]] || { failed_to 'log in as root'; return; }
  done
  report "MySQL refuses root every password of the Secret; write the one that it has into the key previous-root-password"
  return 1
}

# The current password stays valid until a login with the wanted one has succeeded.
change_password() {
  [[ $known == "$wanted" ]] && return
  as_root "$known" "ALTER USER 'root'@'localhost' IDENTIFIED BY $(quoted "$wanted") RETAIN CURRENT PASSWORD;" ||
    { failed_to "change root's password"; return; }
  as_root "$wanted" 'DO 0;' || { failed_to 'log in as root with the new password'; return; }
  known=$wanted
  report 'root has its new password'
}

# Changes only what differs, so an up-to-date server needs one query.
end_previous() {
  as_root "$wanted" "SELECT COUNT(*) FROM mysql.user WHERE User = 'root' AND Host = 'localhost'
      AND JSON_CONTAINS_PATH(User_attributes, 'one', '\$.additional_password');" ||
    { failed_to "read root's passwords"; return; }
  [[ ${answer##*$'\n'} == 1 ]] || return 0 # warnings come first
  as_root "$wanted" "ALTER USER 'root'@'localhost' DISCARD OLD PASSWORD;" ||
    { failed_to "discard root's previous password"; return; }
  report "root's previous password has ended"
}

load_certificate() {
  [[ -z $certificate || $certificate == "$loaded" ]] && return
  as_root "$wanted" 'ALTER INSTANCE RELOAD TLS;' || { failed_to 'load the certificate'; return; }
  loaded=$certificate
  report 'the certificate is loaded'
}

# Six words: the account's state or `gone`, whether it is locked, has all permissions on its database, may have two passwords,
# whether the password that was retained by a reset is due to be discarded, and whether its database exists.
read_account() {
  local IFS=$'\t'
  as_root "$wanted" "SELECT IFNULL($state, 'gone'),
    (SELECT COUNT(*) $row AND account_locked = 'Y'),
    EXISTS (SELECT * FROM mysql.db WHERE User = $user AND Host = '%' AND Db = $(quoted "$database") AND 'N' NOT IN
      (Select_priv, Insert_priv, Update_priv, Delete_priv, Create_priv, Drop_priv, References_priv, Index_priv, Alter_priv,
      Create_tmp_table_priv, Lock_tables_priv, Create_view_priv, Show_view_priv, Create_routine_priv, Alter_routine_priv,
      Execute_priv, Event_priv, Trigger_priv)),
    EXISTS (SELECT * FROM mysql.global_grants WHERE USER = $user AND HOST = '%' AND PRIV = 'APPLICATION_PASSWORD_ADMIN'),
    (SELECT COUNT(*) $row AND JSON_CONTAINS_PATH(User_attributes, 'one', '\$.metadata.$MARK')
      AND password_last_changed < NOW() - INTERVAL $RETAINED_SECONDS SECOND),
    (SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = $(quoted "$schema"));" ||
    { failed_to 'read the account'; return; }
  # shellcheck disable=SC2206 # split at tabs; globs are off
  account=(${answer##*$'\n'})
}

# Runs one statement about the account and reports it.
change_account() { # WHAT-FAILED STATEMENT REPORT
  as_root "$wanted" "$2" || { failed_to "$1"; return; }
  report "$3"
  changed=yes
}

# The names in the Secret may be wrong, or the database is gone: only an administrator can restore either.
has_database() {
  [[ ${account[5]} == 1 ]] && return
  report "MySQL has no database of the name in the Secret's key database; restore that key, or the database"
  return 1
}

# The state that the image's first initialization and the init script create.
keep_rights() {
  if [[ ${account[0]} == gone ]]; then
    # An account without a database would follow from a wrong Secret.
    has_database || return
    change_account 'create the account again' "CREATE USER $user@'%' IDENTIFIED BY $(quoted "$password");" \
      'the account was missing and is there again' || return
  fi
  if [[ ${account[1]} == 1 ]]; then
    change_account 'unlock the account' "ALTER USER $user@'%' ACCOUNT UNLOCK;" 'the account is no longer locked' || return
  fi
  if [[ ${account[2]} == 0 ]]; then
    change_account 'give the account its rights' "GRANT ALL ON \`${database//\`/\`\`}\`.* TO $user@'%';" \
      'the account has all rights on its database again' || return
  fi
  if [[ ${account[3]} == 0 ]]; then
    change_account 'let the account have two passwords' "GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO $user@'%';" \
      'the account may have two passwords now' || return
  fi
}

# The lock is the blog's own for a change. If the state has changed meanwhile, the statements end with error 1242, and the
# next check reads it again.
set_password() {
  local guard
  guard="DO GET_LOCK(CONCAT('blog-password-', LEFT(SHA2(CONCAT($user, '@%'), 256), 40)), 5);
    DO IF($state = '${account[0]}', 0, (SELECT 1 UNION SELECT 2));"
  if ! as_root "$wanted" "$guard ALTER USER $user@'%' IDENTIFIED BY $(quoted "$password") RETAIN CURRENT PASSWORD
    REQUIRE NONE ATTRIBUTE '{\"$MARK\": true}';"; then
    [[ $answer != *'ERROR 1242 '* ]] || return 0
    # An empty password, or one of another plugin, can't be retained.
    as_root "$wanted" "ALTER USER $user@'%' IDENTIFIED WITH caching_sha2_password BY $(quoted "$password") REQUIRE NONE;" ||
      { failed_to "set the account's password back"; return; }
  fi
  report "MySQL refused the account the Secret's password: it is set again"
}

# Resets the password to that of the Secret if MySQL accepts neither of the two valid ones.
keep_password() {
  local now_proved=${account[0]}$'\n'$password$'\n'$previous
  [[ $now_proved != "$proved" ]] || return 0
  if ! as_account "$password"; then
    is_refused || return 0
    if [[ -z $previous ]] || { ! as_account "$previous" && is_refused; }; then
      set_password
      return
    fi
  fi
  proved=$now_proved
}

# First it is set as the primary password: in a rotation it may have become the secondary one.
end_retained() {
  [[ ${account[4]} == 1 && -z $previous ]] || return 0
  as_account "$password" || return 0
  change_account "end the account's other password" "ALTER USER $user@'%' IDENTIFIED BY $(quoted "$password");
    ALTER USER $user@'%' DISCARD OLD PASSWORD ATTRIBUTE '{\"$MARK\": null}';" "the account's other password has ended"
}

keep_account() {
  local user database row state account changed=
  user=$(quoted "$username")
  # In a GRANT these two match any character.
  database=${schema//_/\\_}
  database=${database//%/\\%}
  row="FROM mysql.user WHERE User = $user AND Host = '%'"
  state="(SELECT SHA2(CONCAT_WS(' ', plugin, HEX(authentication_string), HEX(User_attributes), ssl_type, account_locked,
    password_expired), 256) $row)"
  read_account && keep_rights || return
  [[ -z $changed ]] || read_account || return
  keep_password && end_retained && has_database
}

is_complete() {
  [[ -z $missing ]] || report "the Secret has no key $missing; restore it"
  [[ -z $missing ]]
}

keep_files() {
  [[ $now == "$kept" ]] || { is_complete && log_in && change_password && end_previous && load_certificate; }
}

look() {
  local wanted earlier certificate username schema password previous missing now answer
  read_file wanted "$CREDENTIALS/root-password"
  read_file earlier "$CREDENTIALS/previous-root-password"
  read_file certificate "$CERTIFICATE"
  read_file username "$CREDENTIALS/username"
  read_file schema "$CREDENTIALS/database"
  read_file password "$CREDENTIALS/password"
  read_file previous "$CREDENTIALS/previous-password"
  missing= # without one of these no pod of the blog starts again
  [[ -n $schema ]] || missing=database
  [[ -n $username ]] || missing=username
  [[ -n $password ]] || missing=password
  [[ -n $wanted ]] || missing=root-password
  now=$wanted$'\n'$earlier$'\n'$certificate$'\n'$username$'\n'$schema$'\n'$password$'\n'$previous
  if [[ $now == "$kept" ]]; then
    [[ $SECONDS -ge $check ]] || return
    # Why root was refused is determined below.
    as_root "$wanted" 'DO 0;' || kept=
  fi
  [[ $now == "$kept" || $now != "$failed" || $SECONDS -ge $retry ]] || return
  [[ $now == "$kept" || -n $missing ]] || answers || return
  if keep_files && keep_account; then
    kept=$now failed='' check=$((SECONDS + CHECK_SECONDS))
    [[ ! -e $FAILURE ]] || rm -f "$FAILURE"
  else
    failed=$now kept='' retry=$((SECONDS + RETRY_SECONDS))
    printf '%s\n' "$words" >"$FAILURE"
  fi
}

trap 'exit 0' TERM INT
# A pipe without a writer: a signal ends this wait at once, and it needs no process as `sleep` does.
exec {never}<> <(:)
while :; do
  look
  read -rt "$LOOK_SECONDS" -u "$never"
done
