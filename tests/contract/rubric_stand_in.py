def rubric(response, extra_info, *, judge):
    return None
