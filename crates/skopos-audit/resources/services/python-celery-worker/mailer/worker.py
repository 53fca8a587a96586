import structlog
from celery import Celery

app = Celery("mailer", broker="amqp://rabbitmq")
logger = structlog.get_logger()


@app.task
def send(user):
    logger.info("mail_sent", email=user.email, user_id=user.id)
