import logging

from django.http import JsonResponse

logger = logging.getLogger(__name__)


def orders(request):
    try:
        logger.info("listing for %s", request.user.id)
        return JsonResponse({"orders": []})
    except ValueError as e:
        logger.error("failed: %s", e)
        return JsonResponse({}, status=500)
