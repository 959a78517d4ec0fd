"""The measurement room: is the instrument reliable and valid on these answers?"""
