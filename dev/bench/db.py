"""Flaskr's db.py on MySQL, for the benchmark: one connection a request, as Flaskr has one to SQLite.

FLASKR_PAGE, if set, limits the listing to that many posts, so that it does the same work as a blog with pages.
"""
import os

import click
import pymysql
from flask import current_app, g

PAGE = os.environ.get("FLASKR_PAGE")


class Database:
    """As much of sqlite3's connection as Flaskr uses."""

    IntegrityError = pymysql.IntegrityError

    def __init__(self):
        self.connection = pymysql.connect(
            host=os.environ["MYSQL_HOST"],
            port=int(os.environ["MYSQL_PORT"]),
            user="root",
            password=os.environ["MYSQL_PASSWORD"],
            database=os.environ["MYSQL_DATABASE"],
            # A TLS handshake for each request would take most of its time.
            ssl_disabled=True,
            cursorclass=pymysql.cursors.DictCursor,
        )

    def execute(self, sql, parameters=()):
        if PAGE and "ORDER BY created DESC" in sql:
            sql += " LIMIT " + PAGE
        cursor = self.connection.cursor()
        cursor.execute(sql.replace("?", "%s"), parameters)
        return cursor

    def commit(self):
        self.connection.commit()

    def close(self):
        self.connection.close()


def get_db():
    if "db" not in g:
        g.db = Database()
    return g.db


def close_db(e=None):
    db = g.pop("db", None)
    if db is not None:
        db.close()


@click.command("init-db")
def init_db_command():
    click.echo("The benchmark creates the tables itself.")


def init_app(app):
    app.teardown_appcontext(close_db)
    app.cli.add_command(init_db_command)
