from django.urls import include, path

from orders import views

urlpatterns = [path("orders/", views.orders), path("", include("django_prometheus.urls"))]
