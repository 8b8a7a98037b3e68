# Keeps in MySQL what only its administrator can set: root's own password, as the Secret has it; the right of the blog's
# account to have two passwords for a while; and the certificate, when another one lies in its place.
#
# It runs in MySQL's pod, since root can log in nowhere else. It looks at files, without a process of their own, and
# speaks to MySQL only when one has changed. A password is in no argument and in no line that it writes: statements go
# through standard input, the client's password through a pipe. What can't be done now is tried again later: it never
# ends by itself.
set -uf
shopt -s extglob

CREDENTIALS=/etc/mysql-keeper
CERTIFICATE=/etc/mysql-tls/tls.crt
# How often it looks, and how long it waits after a failure unless a file changes.
LOOK_SECONDS=${LOOK_SECONDS:-5}
RETRY_SECONDS=60
# What failed last, for the readiness probe; it isn't there while nothing fails. It lies in memory: all else is read-only.
FAILURE=${FAILURE:-/dev/shm/keeper-failure}

known=  # the password that MySQL took last
kept=   # what the files said when all was as they say
failed= # what they said when something failed, and
retry=0 # when to try that again
loaded= # the certificate that MySQL has read
words=  # what was logged last

say() {
  words=$*
  TZ=UTC printf '%(%FT%TZ)T keeper: %s\n' -1 "$words"
}

# Into the variable, without line ends at the end; nothing if the file isn't there.
read_file() { # VARIABLE FILE
  local content=
  if [[ -r $2 ]]; then IFS= read -rd '' content <"$2"; fi 2>/dev/null
  printf -v "$1" '%s' "${content%%+($'\n')}"
}

quoted() { # inside single quotes, where backslashes escape
  local text=${1//\\/\\\\}
  printf "'%s'" "${text//\'/\'\'}"
}

option_file() { # the same inside an option file's double quotes
  local value=${1//\\/\\\\}
  value=${value//$'\n'/\\n}
  printf '[client]\nuser=root\nprotocol=socket\nsocket=/var/run/mysqld/mysqld.sock\nconnect-timeout=5\npassword="%s"\n' \
    "${value//\"/\\\"}"
}

# Runs statements as root with that password. `said` is what MySQL said, which may hold a part of the statement.
as_root() { # PASSWORD STATEMENTS
  said=$(printf "SET SESSION sql_mode = '';\n%s\n" "$2" |
    timeout 20 mysql --defaults-file=<(option_file "$1") --batch --skip-column-names 2>&1)
}

# Of an error only its number.
failed_to() { # WHAT
  local number='no answer'
  if [[ $said =~ ERROR\ [0-9]+\ \([0-9A-Z]+\) ]]; then number=${BASH_REMATCH[0]}; fi
  say "failed to $1: $number"
  return 1
}

# Over TCP, on which the server of the first initialisation doesn't listen.
answers() { timeout 10 mysqladmin ping --protocol=tcp --host=127.0.0.1 --user=keeper --silent >/dev/null 2>&1; }

# Finds the password that MySQL takes now.
log_in() {
  local password IFS=$'\n'
  # shellcheck disable=SC2086 # one a line
  for password in "$wanted" "$known" $earlier; do
    [[ -n $password ]] || continue
    if as_root "$password" 'DO 0;'; then
      known=$password
      return
    fi
    [[ $said == *'ERROR 1045 '* ]] || { failed_to 'log in as root'; return; }
  done
  say "MySQL refuses root every password of the Secret; write the one that it has into the key previous-root-password"
  return 1
}

# The one so far stays valid until the wanted one has proved itself.
change_password() {
  [[ $known == "$wanted" ]] && return
  as_root "$known" "ALTER USER 'root'@'localhost' IDENTIFIED BY $(quoted "$wanted") RETAIN CURRENT PASSWORD;" ||
    { failed_to "change root's password"; return; }
  as_root "$wanted" 'DO 0;' || { failed_to 'log in as root with the new password'; return; }
  known=$wanted
  say 'root has its new password'
}

# Only what is missing is done, so a server that is as wanted is asked one question.
settle() {
  local user lacking
  user=$(quoted "$MYSQL_USER")
  as_root "$wanted" "SELECT
    (SELECT COUNT(*) FROM mysql.user WHERE User = 'root' AND Host = 'localhost'
      AND JSON_CONTAINS_PATH(User_attributes, 'one', '\$.additional_password')),
    (SELECT COUNT(*) FROM mysql.user WHERE User = $user AND Host = '%' AND NOT EXISTS
      (SELECT * FROM mysql.global_grants WHERE USER = $user AND HOST = '%' AND PRIV = 'APPLICATION_PASSWORD_ADMIN'));" ||
    { failed_to "read root's and the account's rights"; return; }
  said=${said##*$'\n'} # warnings come first
  lacking=${said#*$'\t'}
  if [[ ${said%$'\t'*} == 1 ]]; then
    as_root "$wanted" "ALTER USER 'root'@'localhost' DISCARD OLD PASSWORD;" ||
      { failed_to "discard root's previous password"; return; }
    say "root's previous password has ended"
  fi
  if [[ $lacking == 1 ]]; then
    as_root "$wanted" "GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO $user@'%';" ||
      { failed_to 'let the account have two passwords'; return; }
    say 'the account may have two passwords now'
  fi
}

load_certificate() {
  [[ -z $certificate || $certificate == "$loaded" ]] && return
  as_root "$wanted" 'ALTER INSTANCE RELOAD TLS;' || { failed_to 'load the certificate'; return; }
  loaded=$certificate
  say 'the certificate is loaded'
}

look() {
  local wanted earlier certificate now said
  read_file wanted "$CREDENTIALS/root-password"
  read_file earlier "$CREDENTIALS/previous-root-password"
  read_file certificate "$CERTIFICATE"
  now=$wanted$'\n'$earlier$'\n'$certificate
  [[ -n $wanted && $now != "$kept" ]] || return
  [[ $now != "$failed" || $SECONDS -ge $retry ]] || return
  answers || return
  if log_in && change_password && settle && load_certificate; then
    kept=$now failed=
    [[ ! -e $FAILURE ]] || rm -f "$FAILURE"
  else
    failed=$now retry=$((SECONDS + RETRY_SECONDS))
    printf '%s\n' "$words" >"$FAILURE"
  fi
}

trap 'exit 0' TERM INT
# A pipe that nobody writes to: waiting for it ends at once by a signal, and takes no process as `sleep` does.
exec {never}<> <(:)
while :; do
  look
  read -rt "$LOOK_SECONDS" -u "$never"
done
