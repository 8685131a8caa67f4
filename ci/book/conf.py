"""How Sphinx makes the book: MyST-NB, the book theme, nothing from another site."""

project = "Onramp"
author = "the Onramp authors"
language = "en"
extensions = ["myst_nb", "ci.book.mathml"]
html_math_renderer = "mathml"

nb_execution_mode = "off"  # the notebooks have run
nb_merge_streams = True
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "deflist", "attrs_block"]
myst_heading_anchors = 4
highlight_language = "text"

html_theme = "sphinx_book_theme"
html_title = "Onramp"
html_static_path = ["static"]
html_favicon = "static/favicon.svg"
html_css_files = ["book.css"]
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
html_extra_path = []  # ci.book.build names the folder with the pictures
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_persistent": [],
    "logo": {"text": "Onramp"},
    "toc_title": "On this page",
    "show_toc_level": 1,
    "use_download_button": False,
    "search_bar_text": "Search the book",
    "footer_content_items": ["extra-footer.html"],
    "extra_footer": "Onramp, Apache 2.0. Made from the executed lessons; nothing on these pages asks the network.",
}
