from thalweg.show.report.html import Html
def curves_section(story): return Html()
