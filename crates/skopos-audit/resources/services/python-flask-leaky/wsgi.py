import logging

from flask import Flask, request

app = Flask(__name__)
app.logger.setLevel(logging.INFO)
logging.basicConfig(format="%(message)s")


@app.route("/login", methods=["POST"])
def login():
    app.logger.info("login %s", request.get_json())
    app.logger.info("auth %s", request.headers.get("Authorization"))
    user = find(request.form["email"])
    app.logger.info("found %s", user.email)
    app.logger.info("card %s", user.card_number)
    app.logger.info("db %s", app.config["DATABASE_URL"])
    return {"token_count": 1}


@app.route("/healthz")
def healthz():
    app.logger.info("health checked")
    return "ok"
