"""The shop's routes."""

import views
from django.urls import path

urlpatterns = [
    path("checkout", views.checkout),
    path("receipts/<int:number>", views.receipt),
    path("broken", views.broken),
]
