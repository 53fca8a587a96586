DEBUG = True
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["django_prometheus", "orders"]
MIDDLEWARE = ["django_prometheus.middleware.PrometheusBeforeMiddleware"]
LOGGING = {
    "version": 1,
    "formatters": {"plain": {"format": "%(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
